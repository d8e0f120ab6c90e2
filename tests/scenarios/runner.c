/* A runner without Python: ONNX Runtime through its C API, for models float[1,4] x -> float[1,4] y.
 *
 *     runner MODEL INPUTS OUTPUTS      INPUTS/0.raw -> OUTPUTS/0.raw
 *
 * The wheel holds the library and no header; the places of functions in its table never change
 * (onnxruntime_c_api.h of microsoft/onnxruntime: "All C API functions are defined inside this structure").
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

typedef struct { const void *const *(*get)(uint32_t); const char *(*version)(void); } Base;
extern const Base *OrtGetApiBase(void);

enum { MESSAGE = 2, ENV = 3, SESSION = 7, RUN = 9, OPTIONS = 10, TENSOR = 49, DATA = 51, MEMORY = 69 };

static const void *const *api;

static void good(void *status) {
    if (!status) return;
    fprintf(stderr, "%s\n", ((const char *(*)(void *))api[MESSAGE])(status));
    exit(3);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
    char path[4096];
    float x[4], *y;
    int64_t shape[] = {1, 4};
    const char *in[] = {"x"}, *out[] = {"y"};
    void *env, *options, *session, *memory, *given, *made = NULL;
    FILE *file;

    if (argc != 4) return 2;
    api = OrtGetApiBase()->get(14);
    snprintf(path, sizeof path, "%s/0.raw", argv[2]);
    file = fopen(path, "rb");
    if (!file || fread(x, sizeof *x, 4, file) != 4) { perror(path); return 4; }
    fclose(file);
    good(((void *(*)(int, const char *, void **))api[ENV])(3, "runner", &env));
    good(((void *(*)(void **))api[OPTIONS])(&options));
    good(((void *(*)(void *, const char *, void *, void **))api[SESSION])(env, argv[1], options, &session));
    good(((void *(*)(int, int, void **))api[MEMORY])(0, 0, &memory));
    good(((void *(*)(void *, void *, size_t, const int64_t *, size_t, int, void **))api[TENSOR])(
        memory, x, sizeof x, shape, 2, 1, &given));
    double began = now_ms();
    good(((void *(*)(void *, void *, const char *const *, void *const *, size_t, const char *const *, size_t,
                     void **))api[RUN])(session, NULL, in, &given, 1, out, 1, &made));
    printf("inference_ms=%.4f\n", now_ms() - began);
    good(((void *(*)(void *, void **))api[DATA])(made, (void **)&y));
    snprintf(path, sizeof path, "%s/0.raw", argv[3]);
    file = fopen(path, "wb");
    if (!file || fwrite(y, sizeof *y, 4, file) != 4 || fclose(file)) { perror(path); return 5; }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("rss_mib=%.1f\n", used.ru_maxrss / 1024.0);
    fflush(stdout);
    _Exit(0);
}
