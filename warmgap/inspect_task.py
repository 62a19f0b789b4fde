"""The grid as a task of inspect, graded by ``match``: ``inspect eval warmgap/inspect_task.py --model …``.

For who has models in inspect already. The prompts are those of ``warmgap prompts`` with the same settings, the verdicts
those of ``judge=match``. It needs the extra ``warmgap[inspect]``; nothing else of warmgap imports this file.
"""

from __future__ import annotations

from typing import Any

from warmgap.errors import UserError
from warmgap.evaluate import suites
from warmgap.evaluate.judges.base import Answer
from warmgap.evaluate.judges.grade import error_of
from warmgap.evaluate.judges.match import MatchJudge
from warmgap.evaluate.suites.base import Prompt
from warmgap.evaluate.tasks import load_items
from warmgap.evaluate.tasks.item import Item
from warmgap.settings import config
from warmgap.words import NONE

try:
    from inspect_ai import Task, task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, GenerateConfig
    from inspect_ai.scorer import Metric, Score, Scorer, Target, accuracy, grouped, scorer, stderr
    from inspect_ai.solver import TaskState, generate
except ModuleNotFoundError as error:
    why = "warmgap.inspect_task needs inspect_ai: pip install 'warmgap[inspect]'"
    raise ModuleNotFoundError(why, name=error.name) from error


@task  # type: ignore[untyped-decorator]
def warm_gap(settings: str = "") -> Task:
    """Return the grid of a run's settings, such as ``grid=full task=[trivia_qa]``: words parted by spaces.

    A sample's metadata hold its place (task, item_id, context, belief). Raises UserError for settings that cannot be
    used, for a persona, and for a suite whose dialogues have several turns.
    """
    run = config.compose(config.with_persona(settings.split()))
    if run.persona is not None and run.persona.name != NONE:
        why = "no arm is made here: the model that inspect asks answers as it is"
        raise UserError(f"persona={run.persona.name} would do nothing", why, "leave it out; `warmgap serve` has an arm")
    items = load_items(run.task).items
    suite = suites.make(run)
    if suite.turns > 1:
        raise UserError(f"suite={next(iter(run.suite))} has several turns", "a sample here is one", "use suite=grid")
    known = {(item.task, item.item_id): item for item in items}
    prompts = suite.dialogues(items)
    samples = [_sample(prompt, known[prompt.task, prompt.item_id]) for prompt in prompts]
    how = GenerateConfig(
        max_tokens=run.generate.max_new_tokens, temperature=run.generate.temperature, seed=run.generate.seed
    )
    graded = {_id(prompt): (prompt, known[prompt.task, prompt.item_id]) for prompt in prompts}
    return Task(
        dataset=MemoryDataset(samples, name="warm_gap"),
        solver=generate(),
        scorer=match_verdict(graded, run.judge.window),
        config=how,
    )


def _by(place: str) -> Metric:
    """The accuracy for each belief, or each context."""
    return grouped(accuracy(), place, all=False, name_template=f"{place} {{group_name}}")


def _id(prompt: Prompt) -> str:
    return f"{prompt.task} · {prompt.item_id} · {prompt.context} · {prompt.belief}"


def _sample(prompt: Prompt, item: Item) -> Sample:
    place = {"task": prompt.task, "item_id": prompt.item_id, "context": prompt.context, "belief": prompt.belief}
    kinds: dict[str, Any] = {"user": ChatMessageUser, "assistant": ChatMessageAssistant, "system": ChatMessageSystem}
    asked = [kinds[message["role"]](content=message["content"]) for message in prompt.messages]
    return Sample(id=_id(prompt), input=asked, target=item.correct, metadata={**place, "incorrect": item.incorrect})


@scorer(  # type: ignore[untyped-decorator]
    metrics=[accuracy(), stderr(), *(_by(place) for place in ("belief", "context"))]
)
def match_verdict(graded: dict[str, tuple[Prompt, Item]], window: int) -> Scorer:
    """Return a scorer that gives C or I as ``match`` does; a refusal, or an empty reply, stays without a score."""
    judge = MatchJudge(window)

    async def score(state: TaskState, target: Target) -> Score:
        key = str(state.sample_id)
        prompt, item = graded[key]
        text = state.output.completion
        (verdict,) = judge.grade([Answer(key, text, state.output.stop_reason, prompt, item)])
        error = error_of(verdict.verdict, item.task)
        value = float("nan") if error is None else "I" if error else "C"
        return Score(value=value, answer=text, explanation=verdict.reason, metadata={"verdict": verdict.verdict})

    return score
