"""PyTorch modules that compute what networks of MOLE do; a test that asks for one needs PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

SIDE = 8  # of the CNN's images


def build(network: str) -> Any:
    """The module of mlp:64,8,5, cnn:3,4,6,5 or policy:4,6,5,2; skips the test without PyTorch."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class MLP(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 8), nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            return self.fc2(torch.relu(self.fc1(x)))

    class CNN(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
            self.conv2 = nn.Conv2d(4, 6, 3, padding=1, bias=False)
            self.fc = nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            x = x.reshape(-1, SIDE, SIDE, 3).permute(0, 3, 1, 2)
            return self.fc(torch.relu(self.conv2(torch.relu(self.conv1(x)))).mean((2, 3)))

    class Policy(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.log_std = nn.Parameter(torch.zeros(2))
            self.actor = nn.Sequential(
                nn.Linear(4, 6), nn.SELU(), nn.Linear(6, 5), nn.SELU(), nn.Linear(5, 2)
            )

        def forward(self, x: Any) -> Any:
            return self.actor(x)

    return {"mlp:64,8,5": MLP, "cnn:3,4,6,5": CNN, "policy:4,6,5,2": Policy}[network]()


def outputs(module: Any, x: Any) -> Any:
    """What a module puts out, as NumPy has it."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()
