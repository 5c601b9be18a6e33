"""Gradients for tests: of every dtype and layout, as tensors and as what the oracle reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COMPLEX = (torch.complex32, torch.complex64, torch.complex128)
DTYPES = (*REAL, *COMPLEX)
NARROW = (torch.float16, torch.bfloat16, torch.complex32)

PART = {
    torch.complex32: torch.float16,
    torch.complex64: torch.float32,
    torch.complex128: torch.float64,
}
FORMATS = {
    torch.float16: oracle.FLOAT16,
    torch.bfloat16: oracle.BFLOAT16,
    torch.float32: oracle.FLOAT32,
    torch.float64: oracle.FLOAT64,
    torch.complex32: oracle.FLOAT16,
    torch.complex64: oracle.FLOAT32,
    torch.complex128: oracle.FLOAT64,
}

FAULTS = (math.nan, math.inf, -math.inf, complex(math.nan, 1), complex(2, -math.inf))


def name_of(value: object) -> str:
    """How pytest shows a parameter of a test."""
    return str(value).removeprefix("torch.")


def tolerance(dtype: torch.dtype) -> float:
    """Relative error that the norm of gradients of this dtype may have."""
    return 1e-6 if dtype in NARROW else 1e-12


def make(values: Iterable[complex], dtype: torch.dtype) -> Tensor:
    """A flat tensor of these values, each part rounded to the dtype."""
    numbers = list(values)
    if not dtype.is_complex:
        return torch.tensor([complex(n).real for n in numbers], dtype=torch.float64).to(dtype)
    pairs = [[complex(n).real, complex(n).imag] for n in numbers]
    flat = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2).to(PART[dtype])
    return torch.view_as_complex(flat.contiguous())


def plain(tensor: Tensor) -> Tensor:
    """A flat copy of the elements in logical order; of a sparse tensor the coalesced values."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        # float16 sums are what a sparse gradient of float16 means: torch has to do them.
        tensor = tensor.coalesce().values()
    flat = tensor.resolve_conj().resolve_neg().reshape(-1)
    return flat.clone(memory_format=torch.contiguous_format)


def elements(tensor: Tensor) -> list[oracle.Element]:
    """The elements as exact Python numbers."""
    flat = plain(tensor)
    if flat.dtype.is_complex:
        pairs = torch.view_as_real(flat).to(torch.float64).tolist()
        return [complex(real, imag) for real, imag in pairs]
    if flat.dtype is torch.bfloat16:
        # Its bits are the upper half of a float32's.
        flat = (flat.view(torch.int16).to(torch.int32) << 16).view(torch.float32)
    return [float(number) for number in flat.to(torch.float64).tolist()]


def bits(tensor: Tensor) -> bytes:
    """The bytes of the elements in logical order, so that -0.0 and payloads of NaN count."""
    flat = plain(tensor)
    if flat.dtype.is_complex:
        flat = torch.view_as_real(flat).reshape(-1)
    return flat.contiguous().view(torch.uint8).cpu().numpy().tobytes() if flat.numel() else b""


def differences(
    tensor: Tensor, wanted: Sequence[oracle.Element], *, ulps: int = 0, signed_zeros: bool = True
) -> list[tuple[oracle.Element, oracle.Element]]:
    """Elements that are not what is wanted, as pairs (got, wanted).

    Any NaN part equals any other, finite parts may be ``ulps`` numbers of the dtype apart, and
    zeros have a sign unless told otherwise.
    """
    form = FORMATS[tensor.dtype]

    def same(got: float, want: float) -> bool:
        if math.isnan(want) or math.isnan(got):
            return math.isnan(want) and math.isnan(got)
        if got == want == 0:
            return not signed_zeros or math.copysign(1.0, got) == math.copysign(1.0, want)
        if got == want or not (math.isfinite(got) and math.isfinite(want)):
            return got == want
        exponent = max(math.frexp(want)[1] - 1, form.min_exponent)
        return abs(got - want) <= ulps * math.ldexp(1.0, exponent - form.precision + 1)

    pairs = zip(elements(tensor), wanted, strict=True)
    return [
        (got, want)
        for got, want in pairs
        if not all(map(same, oracle.parts(got), oracle.parts(want)))
    ]


def memory(tensor: Tensor) -> bytes:
    """The bytes of everything that the tensor's storage holds, gaps between elements too."""
    return bytes(tensor.detach().untyped_storage())


def parameter(gradient: Tensor | None, like: Tensor | None = None) -> torch.nn.Parameter:
    """A parameter with this gradient."""
    model = gradient if like is None else like
    assert model is not None
    zeros = torch.zeros(model.shape, dtype=model.dtype)
    owner = torch.nn.Parameter(zeros)
    owner.grad = gradient
    return owner


def parameters(gradients: Iterable[Tensor]) -> list[torch.nn.Parameter]:
    """A parameter for each gradient."""
    return [parameter(gradient) for gradient in gradients]


def _even(flat: Tensor) -> Tensor:
    return flat[: flat.numel() // 2 * 2]


def _gaps(flat: Tensor) -> Tensor:
    rows = _even(flat).reshape(2, -1)
    wide = torch.full((2, 2 * rows.shape[1]), math.nan, dtype=torch.float64).to(flat.dtype)
    wide[:, ::2] = rows
    return wide[:, ::2]


def _offset(flat: Tensor) -> Tensor:
    wide = torch.full((flat.numel() + 4,), math.inf, dtype=torch.float64).to(flat.dtype)
    wide[3:-1] = flat
    return wide[3:-1]


def _sparse(flat: Tensor) -> Tensor:
    if flat.dtype is torch.complex32:
        return flat  # torch cannot coalesce it
    count = flat.numel()
    rows = torch.tensor([index // 2 for index in range(count)], dtype=torch.int64)
    return torch.sparse_coo_tensor(rows[None], flat, (count + 1,), check_invariants=True)


def _negated(flat: Tensor) -> Tensor:
    if flat.dtype.is_complex:
        return flat
    # The imaginary part of a conjugate is a view with a lazy minus.
    return torch.complex(torch.zeros_like(flat), -flat).conj().imag if _has_complex(flat) else flat


def _has_complex(flat: Tensor) -> bool:
    return flat.dtype in (torch.float32, torch.float64)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "flat": lambda flat: flat,
    "scalar": lambda flat: flat[0] if flat.numel() else flat,
    "empty": lambda flat: flat[:0].reshape(0, 3),
    "transposed": lambda flat: _even(flat).reshape(2, -1).t(),
    "channels_last": lambda flat: (
        _even(flat).reshape(1, 2, 1, -1).contiguous(memory_format=torch.channels_last)
    ),
    "expanded": lambda flat: flat[:, None].expand(-1, 3),
    "expanded scalar": lambda flat: flat[:1].expand(5) if flat.numel() else flat,
    "gaps": _gaps,
    "offset": _offset,
    "sparse": _sparse,
    "conjugated": lambda flat: flat.conj(),
    "negated": _negated,
}

EXTREMES = {
    torch.float16: [6e-8, -6e-5, 65504.0],
    torch.bfloat16: [9.2e-41, -1.2e-38, 3.3895e38],
    torch.float32: [1.4e-45, -1.2e-38, 3.4e38, 1e20, 1e-25],
    torch.float64: [5e-324, -2.3e-308, 1.7e308, 1e200, 1e-200],
}


def numbers(dtype: torch.dtype, *, faults: bool = True) -> st.SearchStrategy[complex]:
    """Elements of a gradient: mostly of ordinary size, some extreme, some not finite."""
    part = PART.get(dtype, dtype)
    kinds = [
        st.floats(-8.0, 8.0),
        st.floats(-8.0, 8.0),
        st.sampled_from([0.0, -0.0, *EXTREMES[part]]),
    ]
    if faults:
        kinds.append(st.sampled_from([math.nan, math.inf, -math.inf]))
    real = st.one_of(kinds)
    return st.builds(complex, real, real) if dtype.is_complex else real


@st.composite
def gradients(
    draw: st.DrawFn,
    dtypes: Sequence[torch.dtype] = DTYPES,
    layouts: Sequence[str] = tuple(LAYOUTS),
    *,
    faults: bool = True,
) -> Tensor:
    """A gradient of any dtype and layout."""
    dtype = draw(st.sampled_from(dtypes))
    values = draw(st.lists(numbers(dtype, faults=faults), max_size=12))
    if torch.get_default_device().type == "software":  # of which torch has no sparse tensors
        layouts = [name for name in layouts if name != "sparse"]
    return LAYOUTS[draw(st.sampled_from(layouts))](make(values, dtype))
