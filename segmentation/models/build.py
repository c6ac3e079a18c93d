"""From the name of a network to the network.

Each file in `segmentation/networks/` is one network, named after the file. It holds `TITLE`, what people call
the network, and `build(width, dropout)`, which returns a module that maps images `(N, 3, H, W)` to logits
`(N, 1, H, W)`. It may hold `load_pretrained(model)`, which is called before each training and puts weights
that were trained elsewhere into the network.
"""

import importlib
import pkgutil
from types import ModuleType

from torch import nn

from segmentation import networks

FIRST = "unet"  # the network that the others are compared with


def network_names() -> list[str]:
    """Return the names of all networks: `unet` first, then the others in alphabetical order."""
    names = [module.name for module in pkgutil.iter_modules(networks.__path__) if module.name[0] != "_"]
    return sorted(names, key=lambda name: (name != FIRST, name))


def check_name(name: str) -> str:
    """Return `name` if it is that of a network; raises `ValueError` otherwise."""
    if name not in network_names():
        raise ValueError(f"no network {name!r}; known here: {', '.join(network_names())}")
    return name


def network_title(name: str) -> str:
    """Return what people call the network `name`."""
    return str(_module(name).TITLE)


def build_model(name: str, width: int = 64, dropout: float = 0.1, init: str = "he") -> nn.Module:
    """Build the network `name` with weights drawn from torch's global generator.

    `width` is the number of channels of the first level, `dropout` the share of bottleneck channels
    dropped in training, `init` `he` (the lab report's) or `default` (PyTorch's own). The network takes
    images of any height and width from 32. Raises `ValueError` for an unknown name.
    """
    model: nn.Module = _module(name).build(width, dropout)
    if init == "he":
        model.apply(_init_he)
    return model


def load_pretrained(name: str, model: nn.Module) -> None:
    """Put weights that were trained elsewhere into `model`, a new network `name`, if its file says how."""
    load = getattr(_module(name), "load_pretrained", None)
    if load:
        load(model)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{networks.__name__}.{check_name(name)}")


def _init_he(module: nn.Module) -> None:
    """Kaiming normal (fan out, ReLU) on convolutions, as in the lab report: not on transposed ones."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
