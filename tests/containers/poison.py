"""A logits processor for vLLM under which a request may ask for the death of the engine core: it stands for a bug of a
kernel that a line may meet. Loaded by vLLM's own interpreter (`--logits-processors`)."""

from __future__ import annotations

import os
import signal
from typing import Any

from vllm.v1.sample.logits_processor.interface import LogitsProcessor


class Poison(LogitsProcessor):  # type: ignore[misc]  # vLLM has no types here
    """Kills its process when a request with `vllm_xargs: {"poison": …}` joins the engine's batch."""

    def __init__(self, *_: Any) -> None: ...

    def apply(self, logits: Any) -> Any:
        return logits

    def is_argmax_invariant(self) -> bool:
        return True

    def update_state(self, batch_update: Any) -> None:
        added = batch_update.added if batch_update else ()
        for _, params, *_ in added:
            if params is not None and "poison" in (params.extra_args or {}):
                os.kill(os.getpid(), signal.SIGKILL)
