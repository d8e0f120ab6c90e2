"""Channels removed from a Keras model whose layers stand in one chain: a smaller model.

Where branches meet, channels of several layers would have to go together; such models are refused.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orchestrator.build.failures import Unprunable
from orchestrator.build.magnitude import channels_kept

Channels: TypeAlias = NDArray[np.intp]

Kept: TypeAlias = Channels | None
"""The channels (last axis) that are left of what a layer gives; None for all of them."""

Cut: TypeAlias = tuple[dict[str, Any], list[NDArray[Any]], Kept]
"""A layer's configuration and weights without some channels, and which it gives."""

_MAKES = ("Conv1D", "Conv2D", "Conv3D", "Dense")

_KEEPS = (
    *("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Identity", "Dropout"),
    *("GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization"),
    *(
        f"{kind}{axes}D"
        for kind in (
            *("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"),
            *("ZeroPadding", "Cropping", "UpSampling", "SpatialDropout"),
        )
        for axes in (1, 2, 3)
    ),
)
"""Layers that treat every channel alike and by itself."""


def narrowed(model: Any, share: float) -> Any:
    """The same model with `share` of the channels of every layer but the last that makes some.

    Raises:
        Unprunable: layers do not stand in one chain, or one cannot lose channels.
    """
    keras: Any = import_module("keras")
    chain = _chain(model)
    makers = [layer for layer in chain if _is(layer, *_MAKES)]
    if len(makers) < 2:
        raise Unprunable(
            "nothing to prune: channels are removed between Conv and Dense layers, and it has "
            f"{len(makers)} of them"
        )
    first = model.inputs[0]
    tensor = start = keras.Input(batch_shape=first.shape, dtype=first.dtype, name=first.name)
    left: Kept = None
    weights: list[tuple[Any, list[NDArray[Any]]]] = []
    for layer in chain:
        wanted = share if layer is not makers[-1] and layer in makers else 1.0
        config, arrays, left = _cut(layer, left, wanted)
        twin = layer.__class__.from_config(config)
        tensor = twin(tensor)
        weights.append((twin, arrays))
    for twin, arrays in weights:
        twin.set_weights(arrays)
    return keras.Model(start, tensor, name=model.name)


def _chain(model: Any) -> list[Any]:
    """The layers in order.

    Raises:
        Unprunable: one of them does not take what the one before it gives, and that alone.
    """
    tensor, chain = model.inputs[0], []
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        raise Unprunable(
            f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs, and channels "
            "are removed from chains of layers only; give `sparsity` instead"
        )
    for layer in model.layers:
        if _is(layer, "InputLayer"):
            continue
        taken = getattr(layer, "input", None)
        if isinstance(taken, list | tuple):
            raise Unprunable(
                f"layer {layer.name!r} ({type(layer).__name__}) joins {len(taken)} branches, whose "
                "channels would have to go together, and channels are removed from chains of "
                "layers only; give `sparsity` instead"
            )
        if taken is not tensor:
            raise Unprunable(
                f"layer {layer.name!r} does not take what the layer before it gives, and channels "
                "are removed from chains of layers only; give `sparsity` instead"
            )
        chain.append(layer)
        tensor = layer.output
    return chain


def _cut(layer: Any, left: Kept, share: float) -> Cut:
    """A layer's configuration and weights, with the channels it gives, once `left` come in."""
    config, arrays = layer.get_config(), [np.asarray(each) for each in layer.get_weights()]
    if _is(layer, *_MAKES):
        return _made(layer, config, arrays, left, share)
    if left is None:
        return config, arrays, None
    for kinds, cut in _CUTS.items():
        if _is(layer, *kinds):
            return cut(layer, config, arrays, left)
    raise Unprunable(
        f"channels cannot be removed across layer {layer.name!r} ({type(layer).__name__}); give "
        "`sparsity` instead"
    )


def _made(
    layer: Any, config: dict[str, Any], arrays: list[NDArray[Any]], left: Kept, share: float
) -> Cut:
    """A layer that makes channels of its own from those that come in."""
    if getattr(layer, "groups", 1) > 1 and (left is not None or share < 1):
        raise Unprunable(f"layer {layer.name!r} has {layer.groups} groups of channels")
    _check_last(layer)
    kernel = arrays[0]
    if left is not None:
        kernel = np.take(kernel, left, axis=-2)
    if share >= 1:
        return config, [kernel, *arrays[1:]], None
    stay = channels_kept(kernel, share)
    config["units" if "units" in config else "filters"] = len(stay)
    return config, [kernel[..., stay], *(each[stay] for each in arrays[1:])], stay


def _passed(layer: Any, config: dict[str, Any], arrays: list[NDArray[Any]], left: Channels) -> Cut:
    _check_last(layer)
    return config, arrays, left


def _per_channel(
    layer: Any, config: dict[str, Any], arrays: list[NDArray[Any]], left: Channels
) -> Cut:
    """A batch normalisation: one number a channel in each of its arrays."""
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    if axis not in (-1, len(layer.output.shape) - 1):
        raise Unprunable(f"layer {layer.name!r} does not have its channels in the last axis")
    return config, [each[left] for each in arrays], left


def _depthwise(
    layer: Any, config: dict[str, Any], arrays: list[NDArray[Any]], left: Channels
) -> Cut:
    """A kernel a channel: it goes with its channel."""
    _check_last(layer)
    if layer.depth_multiplier != 1:
        raise Unprunable(f"layer {layer.name!r} makes {layer.depth_multiplier} of each channel")
    kernel, *bias = arrays
    return config, [np.take(kernel, left, axis=-2), *(each[left] for each in bias)], left


def _flattened(
    layer: Any, config: dict[str, Any], arrays: list[NDArray[Any]], left: Channels
) -> Cut:
    """Every place of every channel becomes a channel."""
    _check_last(layer)
    shape = tuple(layer.input.shape[1:])
    places = np.arange(int(np.prod(shape))).reshape(shape)
    return config, arrays, places[..., left].ravel()


def _check_last(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise Unprunable(f"layer {layer.name!r} does not have its channels in the last axis")


_CUTS: dict[tuple[str, ...], Callable[[Any, dict[str, Any], list[NDArray[Any]], Channels], Cut]] = {
    ("BatchNormalization",): _per_channel,
    ("DepthwiseConv1D", "DepthwiseConv2D"): _depthwise,
    ("Flatten",): _flattened,
    _KEEPS: _passed,
}
"""What losing channels means for a layer, by its kinds."""


def _is(layer: Any, *kinds: str) -> bool:
    """Whether a layer is of one of Keras's own kinds, and not of one derived from it."""
    of_keras: Any = import_module("keras").layers
    return type(layer) in {getattr(of_keras, kind) for kind in kinds if hasattr(of_keras, kind)}
