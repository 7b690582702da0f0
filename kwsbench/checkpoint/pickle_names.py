"""The names that a checkpoint's pickle may call, as the pickle spells them, and what it means if it calls others."""

from __future__ import annotations

from types import MappingProxyType

DTYPE_BYTES = MappingProxyType(
    {
        **dict.fromkeys(("bool", "int8", "uint8", "qint8", "quint8"), 1),
        **dict.fromkeys(("float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e4m3fnuz", "float8_e8m0fnu"), 1),
        **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 2),
        **dict.fromkeys(("int32", "uint32", "float32", "qint32", "complex32"), 4),
        **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 8),
        "complex128": 16,
    }
)
"""The types of numbers that are read, as PyTorch calls them, and the bytes that one such number takes."""

_STORAGES = (
    *(("Double", "float64"), ("Float", "float32"), ("Half", "float16"), ("BFloat16", "bfloat16")),
    *(("Long", "int64"), ("Int", "int32"), ("Short", "int16"), ("Char", "int8"), ("Byte", "uint8"), ("Bool", "bool")),
    *(("ComplexFloat", "complex64"), ("ComplexDouble", "complex128")),
    *(("QInt8", "qint8"), ("QUInt8", "quint8"), ("QInt32", "qint32")),
)
STORAGES = MappingProxyType(
    {f"torch {name}Storage": dtype for name, dtype in _STORAGES} | {"torch.storage UntypedStorage": "uint8"}
)
"""The names of storages, and the type of the numbers in them."""

DTYPES = MappingProxyType({f"torch {dtype}": dtype for dtype in DTYPE_BYTES})
"""The names of types of numbers."""

SCHEMES = frozenset({"torch per_tensor_affine", "torch per_channel_affine"})
"""The names of the ways to quantise that are read."""

CALLS = frozenset(
    {
        "collections OrderedDict",
        "collections Counter",
        "torch Size",
        "torch device",
        "_codecs encode",
        "__builtin__ set",
        "__builtin__ complex",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_qtensor",
    }
)
"""The names that may be called. Each call's arguments are checked: some of these allocate what they are told to."""

ALLOWED = frozenset({*STORAGES, *DTYPES, *SCHEMES, *CALLS})
"""All names that a pickle may contain."""

_PACKED = (
    *("bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "float4_e2m1fn_x2", "quint4x2", "quint2x4"),
    *(f"{sign}int{width}" for sign in ("", "u") for width in range(1, 8)),
)
UNREADABLE = MappingProxyType(
    {
        **{f"torch {dtype}": f"numbers of the type {dtype}; save them as int8 or float32" for dtype in _PACKED},
        "torch.serialization _get_layout": "a sparse tensor; save `tensor.to_dense()`",
        "torch._utils _rebuild_sparse_tensor": "a sparse tensor; save `tensor.to_dense()`",
        "torch._utils _rebuild_nested_tensor": "a nested tensor; save its parts as tensors of their own",
        "torch._utils _rebuild_meta_tensor_no_storage": "a tensor on the meta device, which has no numbers to read",
        "torch._utils _rebuild_parameter_with_state": "a parameter with attributes of its own; save `tensor.detach()`",
        "torch._tensor _rebuild_from_type_v2": "a tensor with attributes or a class of its own; save `tensor.detach().clone()`",
        "torch._utils _rebuild_device_tensor_from_cpu_tensor": "a tensor of another device; save `tensor.cpu()`",
        "torch._utils _rebuild_device_tensor_from_numpy": "a tensor of another device; save `tensor.cpu()`",
        "torch QUInt4x2Storage": "a tensor quantised to 4 bits; save its integers and scales as tensors of their own",
        "torch QUInt2x4Storage": "a tensor quantised to 2 bits; save its integers and scales as tensors of their own",
        "torch per_channel_affine_float_qparams": "a tensor quantised with zero points that are no integers",
    }
)
"""Names that PyTorch itself gives to what is not read here, and what that is."""
