"""What gradcore should compute, in exact rationals: slow, and sharing no formula with the code.

An element is a Python float, or a complex made of two.  Every number of every dtype that a gradient
can have is one of those exactly, so nothing is lost on the way here.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Literal, TypeAlias

Element: TypeAlias = float | complex
Kind: TypeAlias = Literal["finite", "nan", "posinf", "neginf"]
Replacement: TypeAlias = tuple[float, float, float]

EXACT_BITS = 200
"""Binary digits kept of an irrational number: about sixty decimal ones."""

DECIMAL = Context(prec=60, Emax=10**12, Emin=-(10**12))


@dataclass(frozen=True)
class Format:
    """A binary floating-point format of IEEE 754 (bfloat16 too): significant bits, exponents."""

    precision: int
    min_exponent: int
    max_exponent: int

    @property
    def largest(self) -> float:
        """Largest finite number."""
        return math.ldexp(2.0 - math.ldexp(1.0, 1 - self.precision), self.max_exponent)

    def round(self, value: Fraction) -> float:
        """Nearest number of the format, ties to even; zero comes out positive."""
        if value == 0:
            return 0.0
        size = abs(value)
        exponent = size.numerator.bit_length() - size.denominator.bit_length()
        if Fraction(2) ** exponent > size:
            exponent -= 1
        quantum = Fraction(2) ** (max(exponent, self.min_exponent) - self.precision + 1)
        rounded = round(value / quantum) * quantum
        if abs(rounded) > Fraction(self.largest):
            return math.inf if value > 0 else -math.inf
        # Rounded to zero, a number keeps its sign; a Fraction has no negative one.
        return float(rounded) if rounded else (0.0 if value > 0 else -0.0)

    def saturate(self, value: float) -> float:
        """Nearest finite number of the format."""
        if abs(value) >= self.largest:
            return math.copysign(self.largest, value)
        return math.copysign(min(abs(self.round(Fraction(value))), self.largest), value)


FLOAT16 = Format(11, -14, 15)
BFLOAT16 = Format(8, -126, 127)
FLOAT32 = Format(24, -126, 127)
FLOAT64 = Format(53, -1022, 1023)


@dataclass(frozen=True)
class Facts:
    """Every statistic of some elements, each rounded once."""

    numel: int
    nan: int
    posinf: int
    neginf: int
    zeros: int
    l2: float
    l1: float
    max_abs: float
    sum: float
    sum_imag: float
    lp: float


def parts(element: Element) -> tuple[float, ...]:
    """The real numbers that an element consists of."""
    return (element.real, element.imag) if isinstance(element, complex) else (element,)


def join(numbers: tuple[float, ...]) -> Element:
    """The element that consists of these real numbers."""
    return complex(*numbers) if len(numbers) == 2 else numbers[0]


def kind_of_part(number: float, overflow: float = math.inf) -> Kind:
    """What a real number counts as; a magnitude beyond ``overflow`` is infinite."""
    if math.isnan(number):
        return "nan"
    if abs(number) > overflow or math.isinf(number):
        return "posinf" if number > 0 else "neginf"
    return "finite"


def kind(element: Element, overflow: float = math.inf) -> Kind:
    """What an element counts as: NaN before +Inf before -Inf, if any part is."""
    kinds = {kind_of_part(number, overflow) for number in parts(element)}
    ranked: tuple[Kind, ...] = ("nan", "posinf", "neginf")
    return next((kind for kind in ranked if kind in kinds), "finite")


def root(value: Fraction) -> Fraction:
    """Square root to `EXACT_BITS` binary digits; exact if it has no more of them."""
    if value == 0:
        return Fraction(0)
    magnitude = (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    shift = EXACT_BITS - magnitude
    scaled = value * Fraction(4) ** shift
    whole = math.isqrt(scaled.numerator // scaled.denominator)
    # A half of the last digit stands for whatever was cut off, so that rounding goes the right way.
    rest = Fraction(0) if whole * whole == scaled else Fraction(1, 2)
    return (whole + rest) / Fraction(2) ** shift


def nearest(value: Fraction) -> float:
    """Nearest float64, infinite beyond the largest."""
    return FLOAT64.round(value)


def square(element: Element) -> Fraction:
    """Squared magnitude of a finite element."""
    return sum((Fraction(number) ** 2 for number in parts(element)), Fraction(0))


def magnitude(element: Element) -> Fraction:
    """Magnitude of a finite element."""
    return abs(Fraction(element)) if isinstance(element, float) else root(square(element))


def power_norm(elements: list[Element], order: float) -> float:
    """(sum |x|^p)^(1/p) of finite elements for any p > 0, in sixty decimal digits."""
    if math.isinf(order):
        return nearest(max((magnitude(element) for element in elements), default=Fraction(0)))
    total = Decimal(0)
    for element in elements:
        size = magnitude(element)
        if size:
            ratio = DECIMAL.divide(Decimal(size.numerator), Decimal(size.denominator))
            total = DECIMAL.add(total, DECIMAL.power(ratio, Decimal(order)))
    if not total:
        return 0.0
    return nearest(Fraction(DECIMAL.power(total, DECIMAL.divide(Decimal(1), Decimal(order)))))


def replaced(
    element: Element, values: Replacement, form: Format, overflow: float = math.inf
) -> Element:
    """The element with each non-finite part replaced by a value that the format can hold."""
    value_of = dict(zip(("nan", "posinf", "neginf"), values, strict=True))

    def part(number: float) -> float:
        kind = kind_of_part(number, overflow)
        return number if kind == "finite" else form.saturate(value_of[kind])

    return join(tuple(part(number) for number in parts(element)))


def facts(
    elements: list[Element],
    form: Format = FLOAT64,
    *,
    overflow: float = math.inf,
    replacement: Replacement | None = None,
    norm_type: float = 2.0,
) -> Facts:
    """Every statistic of the finite elements, and of the replacements of the others."""
    kinds = [kind(element, overflow) for element in elements]
    if replacement is None:
        used = [e for e, k in zip(elements, kinds, strict=True) if k == "finite"]
    else:
        used = [replaced(element, replacement, form, overflow) for element in elements]
    l2 = nearest(root(sum((square(e) for e in used), Fraction(0))))
    return Facts(
        numel=len(elements),
        nan=kinds.count("nan"),
        posinf=kinds.count("posinf"),
        neginf=kinds.count("neginf"),
        zeros=sum(element == 0 for element in used),
        l2=l2,
        l1=nearest(sum((magnitude(e) for e in used), Fraction(0))),
        max_abs=nearest(root(max((square(e) for e in used), default=Fraction(0)))),
        sum=nearest(sum((Fraction(e.real) for e in used), Fraction(0))),
        sum_imag=nearest(sum((Fraction(e.imag) for e in used), Fraction(0))),
        lp=l2 if norm_type == 2.0 else power_norm(used, norm_type),
    )


def zeroed(element: Element, overflow: float = math.inf) -> Element:
    """The element, or zero as a whole if it is not finite."""
    return element if kind(element, overflow) == "finite" else element.__class__(0)


def product(number: float, factor: float, form: Format) -> float:
    """``number * factor``, rounded to float64 and then to the format."""
    if not (math.isfinite(number) and math.isfinite(factor)):
        return number * factor
    exact = Fraction(number) * Fraction(factor)
    sign = math.copysign(1.0, number) * math.copysign(1.0, factor)
    wide = nearest(exact)
    return math.copysign(form.round(Fraction(wide)) if math.isfinite(wide) else wide, sign)


def scaled(element: Element, factor: float, form: Format) -> Element:
    """The element times a real factor; a factor of 1 changes nothing."""
    if factor == 1.0:
        return element
    return join(tuple(product(number, factor, form) for number in parts(element)))


def clamped(element: Element, limit: float, form: Format) -> Element:
    """The element brought to a magnitude of at most ``limit`` along its own direction."""
    if kind(element) == "nan" or math.isinf(limit):
        return element
    numbers = parts(element)
    if any(math.isinf(number) for number in numbers):
        numbers = tuple(math.copysign(math.isinf(n), n) for n in numbers)
    direction = join(numbers)
    size = magnitude(direction)
    if kind(element) == "finite" and size <= Fraction(limit):
        return element
    return join(
        tuple(math.copysign(form.round(Fraction(n) * Fraction(limit) / size), n) for n in numbers)
    )


def is_nan(element: Element) -> bool:
    """A part is NaN."""
    return cmath.isnan(element)
