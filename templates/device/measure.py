"""Runs on the device: what does a variant take here, cold and kept busy, and how often is it right?

    python3 measure.py FOLDER RUNTIME DEADLINE_S SECONDS SAMPLES|- LEASE    one line of JSON, always

As in smoke.py, whose parts it uses: in a child process under a deadline, golden cases first. LEASE is
a file; once it says something else, nobody waits for the answer any more. Python 3.6 and later.
"""

import array
import glob
import json
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # fleet's folder of scripts holds nothing but them
import smoke  # noqa: E402

LEAST_RUNS, MOST_KEPT = 3, 20000
JUDGED_S = 60.0
"""Samples are judged for so long at most; how many were is part of the answer."""
LOOKS_S = 0.2


def main():
    if sys.argv[1] == "--child":
        smoke.bound()
        smoke.tell(sys.argv[7], child(*sys.argv[2:7]))
        return
    folder, runtime, deadline_s = sys.argv[1:4]
    words = [os.path.abspath(__file__), "--child", folder, runtime, *sys.argv[4:7]]
    print(json.dumps(smoke.supervised(words, runtime, float(deadline_s))))


def child(folder, runtime, seconds, samples, lease):
    sys.path[:0] = smoke.bundles(runtime)
    import numpy

    going = watcher(lease)
    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    model = os.path.join(folder, "model." + smoke.suffix(manifest))
    golden = numpy.load(os.path.join(folder, "golden.npz"), allow_pickle=False)
    inputs = {n[3:]: golden[n] for n in golden.files if n.startswith("in_")}
    wanted = {n[4:]: golden[n] for n in golden.files if n.startswith("out_")}
    feeds = [
        {name: numpy.asarray(values[case]) for name, values in inputs.items()}
        for case in range(manifest["cases"])
    ]
    before = condition()
    started = time.perf_counter()
    run, version = smoke.OPEN[runtime](model)
    opened = time.perf_counter()
    run(feeds[0])
    first = time.perf_counter()
    again = (lambda: smoke.OPEN[runtime](model)[0]) if "stateful" in golden.files else None
    allowed = {t["output"]: t["max_abs_diff"] for t in manifest["tolerances"]}
    fresh = again() if again else run
    report = smoke.compare(numpy, fresh, inputs, wanted, allowed, manifest["cases"], again)
    if not report["passed"]:
        return report
    if hasattr(run, "kept_busy"):  # trtexec, which times itself
        found = run.kept_busy(feeds[0], float(seconds), going)
    else:
        found = sustained(run, feeds, float(seconds), going)
    found.update(
        passed=True,
        runtime="%s %s" % (runtime, version),
        load_ms=round((opened - started) * 1e3, 3),
        first_ms=round((first - opened) * 1e3, 3),
        rss_mib=smoke.rss_mib(),
        before=before,
        after=condition(),
    )
    if samples != "-":
        with numpy.load(samples, allow_pickle=False) as arrays:
            given = {name: arrays[name] for name in arrays.files}
        found.update(judged(numpy, run, again, sorted(inputs), sorted(wanted), given, going))
    return found


def watcher(lease):
    """A function that ends the process when the lease is no longer what it was."""

    def said():
        try:
            with open(lease) as file:
                return file.read()
        except OSError:
            return ""

    mine = said()

    def going():
        if said() != mine:
            sys.exit("the lease is gone: nobody waits for this any more")

    return going


def sustained(run, feeds, seconds, going):
    """One inference after the other. Of very many, every second, fourth … time is kept."""
    times, stride, count = array.array("d"), 1, 0
    began = looked = now = time.perf_counter()
    while count < LEAST_RUNS or now - began < seconds:
        feed = feeds[count % len(feeds)]
        start = time.perf_counter()
        run(feed)
        now = time.perf_counter()
        if count % stride == 0:
            times.append((now - start) * 1e3)
        count += 1
        if len(times) == MOST_KEPT:
            times, stride = times[::2], stride * 2
        if now - looked > LOOKS_S:
            looked = now
            going()
    quarter = max(1, len(times) // 4)
    ordered = sorted(times)
    return {
        "runs": count,
        "seconds": round(now - began, 3),
        "p50_ms": round(median(times), 4),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 4),
        "slowdown": round(median(times[-quarter:]) / max(median(times[:quarter]), 1e-9), 3),
    }


def median(times):
    return sorted(times)[len(times) // 2]


def judged(numpy, run, again, ins, outs, given, going):
    """The mean score over the samples: 1 where the class is right (top1), or squared errors (mse).

    Arrays are named by the place of an input or output among its kind in the order of names:
    ``in_0``, ``y_0`` …; ``scale_0`` and ``zero_0`` say what real number an integer output stands for.
    """

    def score(got, index):
        if str(given["metric"]) == "top1":
            return float(int(numpy.argmax(got[outs[0]].ravel())) == int(given["y_0"][index]))
        errors = []
        for place, name in enumerate(outs):
            have, scale = numpy.asarray(got[name]), given["scale_%d" % place]
            if scale:
                have = (have.astype("float32") - given["zero_%d" % place]) * scale
            want = given["y_%d" % place][index].astype("float64")
            errors.append((have.astype("float64").ravel() - want.ravel()) ** 2)
        return float(numpy.concatenate(errors).mean())

    scores, began = [], time.perf_counter()
    for index in range(len(given["y_0"])):
        feed = {name: given["in_%d" % place][index] for place, name in enumerate(ins)}
        scores.append(score((again() if again else run)(feed), index))
        going()
        if time.perf_counter() - began > JUDGED_S:
            break
    return {"value": round(sum(scores) / len(scores), 6), "samples": len(scores)}


def condition():
    """How the device is right now, as the kernel and a Raspberry Pi's firmware say it."""
    system = os.environ.get("FLEET_LAB_ROOT", "") + "/sys"
    zones = sorted(glob.glob(system + "/class/thermal/thermal_zone*"))
    clocks = sorted(glob.glob(system + "/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    return {
        "zones": ["%s %s" % (line(zone + "/temp"), line(zone + "/type")) for zone in zones],
        "khz": [line(clock) for clock in clocks],
        "throttled": throttled(),
    }


def line(path):
    try:
        with open(path) as file:
            return file.readline().strip()
    except (OSError, ValueError):  # a zone that is asleep answers with an error
        return ""


def throttled():
    try:
        pipe = subprocess.PIPE
        with subprocess.Popen(["vcgencmd", "get_throttled"], stdout=pipe, stderr=pipe) as asked:
            return asked.communicate(timeout=5)[0].decode("utf-8", "replace").strip()
    except (OSError, subprocess.SubprocessError):
        return ""  # not there, or it does not answer


if __name__ == "__main__":
    main()
