"""The process in which vLLM runs: ``python -m warmgap.engines.vllm.worker``.

One line of JSON comes in for each piece of work, and lines of JSON go out. What vLLM and others print goes to stderr.
The process ends when nobody can send it anything more, so it never outlives who started it. It imports vLLM, torch and
what is light of ours: its interpreter may be another environment's.

    {"do": "start", "model": folder, "dtype": ..., "cuda": bool, "rank": null or a whole number}
        {"ready": {"version": ..., "window": tokens}}
    {"do": "answer", "requests": [[key, ids], ...], "adapter": null or {"name": ..., "path": ...},
     "ends": ids, "tokens": most to write, "temperature": ..., "seed": ...}
        {"replies": [[place of the request, ids, whether it was cut off], ...]}, ... and last {"done": true}
    {"do": "logs", "ids": ids, "adapter": as above}
        {"logs": log-probability (nats) of each token of the vocabulary as the next}
    whatever goes wrong
        {"error": what}
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import Any, TextIO

SMALLEST = -1e9  # stands for the logarithm of 0, which JSON has no word for


class Worker:
    """One model in vLLM, and the adapters that were asked for."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._llm: Any = None
        self._adapters: dict[str, Any] = {}

    def do(self, work: dict[str, Any]) -> None:
        """Do one piece of work, and say what comes of it."""
        jobs = {"start": self._start, "answer": self._answer, "logs": self._logs}
        jobs[work["do"]](work)

    def say(self, what: dict[str, Any]) -> None:
        """Write one line to whoever started this process."""
        self._out.write(json.dumps(what) + "\n")
        self._out.flush()

    def _start(self, work: dict[str, Any]) -> None:
        how = _environment(work["cuda"])
        import vllm

        from warmgap.engines.vllm.drawing import Drawing

        if work["rank"] is not None:
            how |= {"enable_lora": True, "max_lora_rank": work["rank"], "max_loras": 1}
        self._llm = vllm.LLM(
            model=work["model"],
            dtype=work["dtype"],
            max_model_len=-1,  # as much of the model's window as memory has room for
            max_logprobs=-1,
            enable_prefix_caching=True,
            generation_config="vllm",  # a released model's own top_p and the like must not slip in
            skip_tokenizer_init=True,
            trust_remote_code=False,
            logits_processors=[Drawing],
            async_scheduling=False,  # a request's tokens are known when the next is drawn
            seed=0,
            disable_log_stats=True,
            **how,
        )
        window = self._llm.llm_engine.model_config.max_model_len
        self.say({"ready": {"version": vllm.__version__, "window": window}})

    def _answer(self, work: dict[str, Any]) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        from warmgap.engines.vllm.drawing import ARGUMENT

        engine, adapter = self._llm.llm_engine, self._adapter(work["adapter"])
        for place, (key, ids) in enumerate(work["requests"]):
            how = {name: work[name] for name in ("seed", "temperature", "tokens")}
            params = SamplingParams(
                temperature=0.0,
                max_tokens=work["tokens"],
                stop_token_ids=work["ends"],
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
                extra_args={ARGUMENT: {**how, "key": key}} if work["temperature"] > 0 else None,
            )
            engine.add_request(str(place), {"prompt_token_ids": ids}, params, lora_request=adapter)
        while engine.has_unfinished_requests():
            ended = [(one.request_id, one.outputs[0]) for one in engine.step() if one.finished]
            if ended:
                rows = [[int(name), list(one.token_ids), one.finish_reason == "length"] for name, one in ended]
                self.say({"replies": rows})
        self.say({"done": True})

    def _logs(self, work: dict[str, Any]) -> None:
        from vllm import SamplingParams

        params = SamplingParams(temperature=0.0, max_tokens=1, logprobs=-1, detokenize=False)
        prompt = {"prompt_token_ids": work["ids"]}
        adapter = self._adapter(work["adapter"])
        (found,) = self._llm.generate([prompt], params, use_tqdm=False, lora_request=adapter)
        (after,) = found.outputs[0].logprobs
        logs = [SMALLEST] * (max(after) + 1)
        for token, one in after.items():
            logs[token] = max(one.logprob, SMALLEST)
        self.say({"logs": logs})

    def _adapter(self, given: dict[str, str] | None) -> Any:
        """The adapter as vLLM knows it, by a name and a number of its own; None for the base model."""
        if given is None:
            return None
        from vllm.lora.request import LoRARequest

        known = self._adapters
        if given["name"] not in known:
            known[given["name"]] = LoRARequest(given["name"], len(known) + 1, given["path"])
        return known[given["name"]]


def _environment(cuda: bool) -> dict[str, Any]:
    """Set what vLLM reads from the environment, where nothing else is set; return what it takes as arguments."""
    given = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine lives in this process and ends with it
        "VLLM_USE_V2_MODEL_RUNNER": "0",  # the other runner takes logits processors of another kind
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "HF_HUB_OFFLINE": "1",
    }
    for name, value in given.items():
        os.environ.setdefault(name, value)
    if not cuda:
        return {"enforce_eager": True}
    import torch

    if torch.cuda.get_device_capability() >= (9, 0):
        os.environ.setdefault("VLLM_BATCH_INVARIANT", "1")
    free, total = torch.cuda.mem_get_info()
    return {"gpu_memory_utilization": round(0.92 * free / total, 3)}  # others may hold some of it


def main() -> int:
    """Do what comes in on stdin, until it ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is printed must not get between the lines
    sys.stdout = sys.stderr
    waiting: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, waiting), daemon=True).start()
    worker = Worker(out)
    while True:
        try:
            worker.do(json.loads(waiting.get()))
        except Exception as error:
            import traceback

            traceback.print_exc()
            worker.say({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:800]}"})


def _listen(lines: TextIO, waiting: queue.Queue[str]) -> None:
    """Hand on what comes in; when nobody is there to send any more, end this process and all that it has started."""
    for line in lines:
        waiting.put(line)
    if os.getpid() == os.getpgid(0):
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
