"""Models too large for one device: weights, gradients and optimiser state cut over the processes of a run.

torch's own FSDP2 does the cutting, layer by layer: each process holds its shard of every layer, and a layer is whole
only while it computes. The model that the user holds stays as it is, on the CPU; a copy of it trains.
"""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed.checkpoint as distributed_checkpoint
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ..files import FORMAT, UnreadableFile, explained, read_json, write_json
from ..processes import add_up, is_first, n_processes, wait_for_all
from .checkpoint import SHARDED_STATE
from .rows import Rows
from .step import Step

__all__ = ["ShardedStep"]

_GROUPS = ("model", "best", "average", "sums")
"""With what the names of tensors in a checkpoint begin, besides the optimiser's."""


@dataclass
class ShardedStep(Step):
    """A step of a copy of the model of which every process holds a part; see `Step` for its other arguments.

    Checkpoints are torch's distributed ones, a folder into which every process writes its own shards. Their metadata
    is pickled, by torch: they serve to resume one's own run, and nothing else reads them. The finished model is
    gathered into the user's, tensor by tensor, and saved as any other.

    Args:
        on: device of this process.
    """

    on: torch.device = torch.device("cpu")

    suffix: ClassVar[str] = ".sharded"

    def __post_init__(self) -> None:
        if n_processes() == 1:
            raise ValueError(
                "Expected several processes with sharded=True, got one; start them with torchrun, or use sharded=False."
            )
        if self.compile:
            warnings.warn("A sharded model trains eagerly: compile=True has no effect.", RuntimeWarning, stacklevel=2)
        self.compile = False
        self.whole = self.model
        self.model = _shard(copy.deepcopy(self.model), self.on)
        super().__post_init__()

    def loss(self, rows: Rows, number: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """As `Step.loss`."""
        with warnings.catch_warnings():  # of operations in place on a layer's output, which no net of ours does
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
            return super().loss(rows, number)

    def _gradients(self, total: Tensor, *, allow_unused: bool = False) -> tuple[Tensor, ...]:
        total.backward()  # its hooks sum the gradients over processes, and leave each its shard
        gradients = [parameter.grad for parameter in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return tuple(g.to_local() if isinstance(g, DTensor) else g for g in gradients)  # type: ignore[misc]

    def _norm(self, gradients: Sequence[Tensor]) -> Tensor:
        squares = torch.zeros(2, device=self.device)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            squares[int(isinstance(parameter, DTensor))] += gradient.square().sum()
        return (squares[0] + add_up(squares[1])).sqrt()

    def gather(self) -> None:
        """Put the weights into the user's model, whole."""
        with torch.no_grad():
            whole = self.whole.state_dict()
            for name, tensor in self.model.state_dict().items():
                whole[name].copy_(tensor.full_tensor() if isinstance(tensor, DTensor) else tensor)

    # --- checkpoints ------------------------------------------------------------------------

    def write(self, path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
        """Write a checkpoint's folder: shards first, then what says that it is whole.

        Raises:
            OSError: in all processes, where one of them could not write its shards.
        """
        if is_first():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        wait_for_all()
        whole = {name: self._cut(name, tensor) for name, tensor in tensors.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own deprecations
                distributed_checkpoint.save(whole, checkpoint_id=path)
        except distributed_checkpoint.CheckpointException as error:  # no Exception: nobody else would catch it
            if is_first():
                shutil.rmtree(path, ignore_errors=True)
            cause = next(iter(error.failures.values()))[0]
            raise (explained(cause, path) if isinstance(cause, OSError) else cause) from error
        write_json(path / SHARDED_STATE, {"format": FORMAT, **metadata, "tensors": list(tensors)})
        wait_for_all()

    def read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """This process's part of a checkpoint, which another number of processes may have written.

        Raises:
            UnreadableFile: not whole, or of another model.
        """
        metadata = read_json(path / SHARDED_STATE)
        try:
            # Those of another optimiser are left out: the run is refused in words when its settings are looked at.
            ours = self.optimizer.state().keys()
            names = [name for name in metadata["tensors"] if name in ours or name.split(".")[0] in _GROUPS]
            tensors = {name: self._empty(name, len(metadata["names"])) for name in names}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                distributed_checkpoint.load(tensors, checkpoint_id=path)
        except (KeyError, TypeError, IndexError, ValueError, distributed_checkpoint.CheckpointException) as error:
            raise UnreadableFile(f"Expected a whole checkpoint of this model in {path}, got: {error}.") from error
        return {name: self._local(name, tensor) for name, tensor in tensors.items()}, metadata

    def _cut(self, name: str, tensor: Tensor) -> Tensor:
        """A local shard as a part of the whole tensor that it belongs to."""
        parameter = self._parameter(name)
        if not isinstance(parameter, DTensor):
            return tensor
        return DTensor.from_local(
            tensor, parameter.device_mesh, parameter.placements, shape=parameter.shape, stride=parameter.stride()
        )

    def _local(self, name: str, tensor: Tensor) -> Tensor:
        return tensor.to_local() if isinstance(self._parameter(name), DTensor) else tensor  # type: ignore[attr-defined]

    def _empty(self, name: str, n_statistics: int) -> Tensor:
        if name == "sums":
            return torch.zeros(n_statistics, device=self.device)
        if name == f"{self.optimizer.name}.committed":
            return torch.zeros_like(self.optimizer.committed)
        parameter = self._parameter(name)
        if parameter is None:
            parameter = self.model.state_dict()[name.split(".", 1)[1]]
        return torch.zeros_like(parameter.detach())

    def _parameter(self, name: str) -> Tensor | None:
        """The trained parameter that a numbered tensor (a moment, an average) belongs to."""
        part, _, number = name.rpartition(".")
        moments = [f"{self.optimizer.name}.{kind}" for kind in self.optimizer.moments]
        return self.parameters[int(number)] if part in ("average", *moments) else None


def _shard(model: nn.Module, device: torch.device) -> Any:
    """Cut every layer of torch's that has parameters; those of other modules, few as a rule, stay whole."""
    mesh = init_device_mesh(device.type, (n_processes(),))

    def cut(module: nn.Module) -> None:
        if type(module).__module__.startswith("torch.nn.") and next(module.parameters(recurse=False), None) is not None:
            shards = fully_shard(module, mesh=mesh)
            shards.set_gradient_divide_factor(1.0)  # sums, not means, over processes
            shards.set_force_sum_reduction_for_comms(True)  # plain ones, which every backend has
            return
        for child in module.children():
            cut(child)

    cut(model)
    return model.to(device)
