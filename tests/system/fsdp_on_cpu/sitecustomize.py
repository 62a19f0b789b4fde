"""Lets the training processes of a test use FSDP on a CPU, where Accelerate would take DDP without a word.

Torch shards on CPUs as on GPUs (gloo); it is Accelerate alone that looks for FSDP on accelerators only. In processes
that torch's elastic launcher starts, "several CPUs" is therefore called "several GPUs".
"""

import os

if "TORCHELASTIC_RUN_ID" in os.environ:
    from accelerate import state
    from accelerate.utils import DistributedType

    plain = state.PartialState.__init__

    def renamed(self: state.PartialState, *arguments: object, **named: object) -> None:
        plain(self, *arguments, **named)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    state.PartialState.__init__ = renamed
