from torch import Tensor

version: str
torch: str
cuda: str
openmp: bool
cpu: tuple[str, ...]
cpu_supported: tuple[str, ...]
cpu_in_use: str

def measure(
    tensors: list[Tensor],
    gradients: bool,
    needs: int,
    norm_type: float,
    overflow: float,
    replacement: list[float] | None,
    /,
) -> Tensor: ...
def apply_(
    tensors: list[Tensor],
    gradients: bool,
    table: Tensor,
    factors: Tensor,
    skip: Tensor | None,
    repair: int,
    replacement: list[float] | None,
    overflow: float,
    limit: float,
    /,
) -> None: ...
def measure_units(
    tensors: list[Tensor],
    gradients: bool,
    unit_axis: int,
    needs: int,
    norm_type: float,
    overflow: float,
    replacement: list[float] | None,
    /,
) -> tuple[Tensor, Tensor, Tensor]: ...
def apply_units_(
    tensors: list[Tensor],
    gradients: bool,
    unit_axis: int,
    table: Tensor,
    factors: Tensor,
    skip: Tensor | None,
    repair: int,
    replacement: list[float] | None,
    overflow: float,
    /,
) -> None: ...
def read_once(tensors: list[Tensor], /) -> int: ...
def any_wide(tensors: list[Tensor], gradients: bool, /) -> bool: ...
def check_supported(tensor: Tensor, /) -> None: ...
