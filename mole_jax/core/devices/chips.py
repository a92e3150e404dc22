"""Peak figures of accelerators, from their makers' data sheets.

Google's figures are from its pages, NVIDIA's from others that quote its sheets. None was measured.
Peaks are for dense bfloat16 products. A link's rate is that of one direction: half of what data
sheets call bidirectional. The GPUs of one machine are linked with one another, and each reaches
other machines by a network card of its own; the chips of a TPU slice are all linked.
"""

from __future__ import annotations

import dataclasses

GIGA, TERA, GIB = 1e9, 1e12, 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One device as JAX counts them."""

    name: str
    kinds: tuple[str, ...]  # prefixes of jax.Device.device_kind
    peak: float  # FLOP/s
    memory: float  # bytes
    bandwidth: float  # bytes/s, of memory
    link: float  # bytes/s that one device sends to linked ones
    linked: int  # how many devices are linked
    network: float  # bytes/s that one device sends beyond them


CHIPS = (
    # NVIDIA H100 Tensor Core GPU data sheet (SXM): 1,979 TFLOPS of BF16 with sparsity, 80 GB, 3.35
    # TB/s, NVLink 900 GB/s. DGX H100 user guide: one ConnectX-7 of 400 Gb/s for each of 8 GPUs.
    Chip("H100", ("NVIDIA H100",), 989.5 * TERA, 80 * GIGA, 3.35 * TERA, 450 * GIGA, 8, 50 * GIGA),
    # NVIDIA H200 Tensor Core GPU data sheet (SXM): 1,979 TFLOPS of BF16 with sparsity, 141 GB, 4.8
    # TB/s, NVLink 900 GB/s. DGX H200: network as DGX H100.
    Chip("H200", ("NVIDIA H200",), 989.5 * TERA, 141 * GIGA, 4.8 * TERA, 450 * GIGA, 8, 50 * GIGA),
    # NVIDIA DGX B200 data sheet, a machine of 8: 36 PFLOPS of BF16 with sparsity (HGX B200), 1,440
    # GB, 64 TB/s, NVLink 14.4 TB/s, ConnectX-7 of 400 Gb/s for each GPU.
    Chip("B200", ("NVIDIA B200",), 2250 * TERA, 180 * GIGA, 8 * TERA, 900 * GIGA, 8, 50 * GIGA),
    # cloud.google.com/tpu/docs/v4: 275 TFLOPS, 32 GiB, 1,200 GB/s, 3D mesh of 4,096. Six links of
    # 50 GB/s each way: Jouppi et al. 2023, TPU v4. The network is not stated; taken from v5e.
    Chip("TPU v4", ("TPU v4",), 275 * TERA, 32 * GIB, 1200 * GIGA, 300 * GIGA, 4096, 3.125 * GIGA),
    # cloud.google.com/tpu/docs/v5e: 197 TFLOPS, 16 GB, 819 GB/s, interconnect 400 GB/s both ways,
    # 256 chips in a pod with 6.4 Tb/s of network.
    Chip(
        "TPU v5e",
        ("TPU v5 lite", "TPU v5e"),
        197 * TERA,
        16 * GIGA,
        819 * GIGA,
        200 * GIGA,
        256,
        3.125 * GIGA,
    ),
    # cloud.google.com/tpu/docs/v5p: 459 TFLOPS, 95 GB, 2,765 GB/s, interconnect 1,200 GB/s both
    # ways, 8,960 chips in a pod; network 50 Gb/s for each chip.
    Chip(
        "TPU v5p",
        ("TPU v5p", "TPU v5"),
        459 * TERA,
        95 * GIGA,
        2765 * GIGA,
        600 * GIGA,
        8960,
        6.25 * GIGA,
    ),
    # cloud.google.com/tpu/docs/v6e: 918 TFLOPS, 32 GB, 1,638 GB/s, interconnect 800 GB/s both ways,
    # 256 chips in a pod with 25.6 Tb/s of network.
    Chip(
        "TPU v6e",
        ("TPU v6 lite", "TPU v6e"),
        918 * TERA,
        32 * GIGA,
        1638 * GIGA,
        400 * GIGA,
        256,
        12.5 * GIGA,
    ),
)


def find(device_kind: str) -> Chip | None:
    """Return the chip of a jax.Device.device_kind; None where there is no data sheet, as for a CPU.

    The longest matching name wins: "TPU v5 lite" is not "TPU v5".
    """
    found = [
        (len(kind), chip) for chip in CHIPS for kind in chip.kinds if device_kind.startswith(kind)
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None
