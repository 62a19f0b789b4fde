"""Text and tokens: the one place that knows chat templates.

A prompt and a reply are tokenised apart and joined as ids, in training as in evaluation, so that the ids of a prompt
are the same in both and no second beginning-of-text token slips in. What a message holds stays text: a control token's
name in it ("<|im_end|>", as somebody may type it) is marked before the template is rendered and tokenised letter by
letter. A template that has no system role gets the system text before the first user turn. The clock that a template
may ask stands still, so that prompts are the same tomorrow.
"""

from __future__ import annotations

import contextlib
import functools
import re
import weakref
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from warmgap.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]  # role, content
IGNORED = -100  # label of a token that is not trained on
_CONTROL = re.compile(
    r"<\|[^\s|<>]{1,40}\|>|<\uff5c[^\s<>]{1,40}\uff5c>|"  # ChatML, Llama 3, Phi, Cohere, gpt-oss, GLM; DeepSeek
    r"</?s>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|THINK)\]|<</?SYS>>|"
    r"<(?:start|end)_of_(?:turn|image|role|text)>|<(?:bos|eos|pad|unk)>|<unused\d+>|<extra_id_\d+>|"  # Gemma, T5
    r"</?(?:think|tool_call|tool_response)>|"
    r"\[(?:gMASK|BOS|EOS|PAD|UNK)\]"
)
OPENED, CLOSED = "\ufdd0", "\ufdd1"  # around a control token's name in a message: Unicode has no such characters
THINKING = re.compile(r"<\|?(?:think|thinking|thought|seed:think)\|?>|<\|channel\|?>\s*(?:analysis|thought)|\[THINK\]")
THOUGHT = re.compile(r"</(?:think|thinking|thought|seed:think)>|<channel\|>|\[/THINK\]")
_OPEN = re.compile(r"(<(think|thinking|thought|seed:think)>|\[THINK\])\s*\Z")  # at the end of a prompt
_KEPT = re.compile(rf"{THINKING.pattern}|{THOUGHT.pattern}|<\|channel>|<unused9[45]>|\u25c1/?think\u25b7")
_CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>")  # gpt-oss: marks of one reply's messages
DATE = "26 Jul 2024"  # what a template's clock says where template_vars.date_string does not; Llama 3.1's own
_CLOCK = re.compile(r"""strftime_now\(\s*(["'])([^"'{}]*)\1\s*\)""")
_WORD = "Cormorant"  # put where a message is, to see what a template writes around it


def with_system(messages: Sequence[Message], system_prompt: str | None) -> list[Message]:
    """Return the messages with a system message before them, if there is a system prompt."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, *messages]


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_vars: dict[str, Any]) -> str:
    """Render messages up to the point at which the assistant begins to speak."""
    text = _render(tokenizer, messages, template_vars, add_generation_prompt=True)
    return text.replace(OPENED, "").replace(CLOSED, "")


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Turn rendered text into token ids; special tokens come from the text alone, and not from what is marked in it."""
    if OPENED not in text:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids
    found: list[int] = []
    for place, part in enumerate(re.split(f"{OPENED}(.*?){CLOSED}", text, flags=re.DOTALL)):
        found += _inside(tokenizer, part, as_text=place % 2 == 1, first=place == 0)
    return found


def _inside(tokenizer: PreTrainedTokenizerBase, part: str, *, as_text: bool, first: bool) -> list[int]:
    """The ids of a part of a text. What begins a text may get a blank of its own (SentencePiece), what goes on not."""
    how: dict[str, Any] = {"add_special_tokens": False, "split_special_tokens": as_text}
    if first or not part:
        return list(tokenizer.encode(part, **how))
    before = list(tokenizer.encode("\n", **how))
    whole = list(tokenizer.encode(f"\n{part}", **how))
    return whole[len(before) :] if whole[: len(before)] == before else list(tokenizer.encode(part, **how))


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_vars: dict[str, Any]
) -> list[int]:
    """Return the token ids of a prompt, the header of the assistant's turn included."""
    return encode(tokenizer, _render(tokenizer, messages, template_vars, add_generation_prompt=True))


def training_row(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], template_vars: dict[str, Any], max_length: int
) -> dict[str, list[int]] | None:
    """Return ``input_ids`` and ``labels`` of one prompt and its reply, the last message.

    Labels cover the reply and its end-of-turn token alone. What precedes them is the prompt of evaluation, and what the
    template writes before a reply beyond it (``Seam``); the reply is rendered without a system prompt, for Mistral's
    template writes that into the last message alone and drops it once a reply follows. None if the row is longer than
    ``max_length``: a row cut off would teach the model to stop in the middle, or nothing at all.
    """
    spoken = [message for message in messages if message["role"] != "system"]
    before = _render(tokenizer, spoken[:-1], template_vars, add_generation_prompt=True)
    whole, seam = _render(tokenizer, spoken, template_vars), _seam(tokenizer, template_vars)
    start = before[: len(before) - len(seam.left_out)] + seam.written
    if not whole.startswith(start):
        raise UserError(
            "the chat template cannot be trained on",
            "with the reply, it does not begin with the prompt that it renders without the reply",
            "use a model whose template renders turns one after another",
        )
    head = prompt_ids(tokenizer, messages[:-1], template_vars) + encode(tokenizer, seam.given)
    tail = encode(tokenizer, whole[len(start) :])
    ends = end_ids(tokenizer)
    last = max((index for index, token in enumerate(tail) if token in ends), default=None)
    if last is None:
        raise UserError(
            "the chat template cannot be trained on",
            f"it ends a reply with none of the tokens {sorted(ends)} at which generation stops",
            "use an instruction-tuned model, whose template ends each turn with its end-of-turn token",
        )
    tail = tail[: last + 1]
    if len(head) + len(tail) > max_length:
        return None
    return {"input_ids": head + tail, "labels": [IGNORED] * len(head) + tail}


class Seam(NamedTuple):
    """Where a prompt and the reply to it meet, in a template that writes more there than it does when a model is asked.

    ``given`` is what a row for training has between them: an empty think block (Qwen 3), the name of the channel in
    which one answers (gpt-oss), the end of a think block that the prompt has opened (OLMo 3 Think, DeepSeek R1). Nobody
    is trained on it. ``left_out`` is the end of the prompt that the template leaves out once a reply follows,
    ``written`` what it writes instead.
    """

    given: str
    left_out: str
    written: str


def _seam(tokenizer: PreTrainedTokenizerBase, template_vars: dict[str, Any]) -> Seam:
    asked = [{"role": "user", "content": "?"}]
    before = _render(tokenizer, asked, template_vars, add_generation_prompt=True)
    whole = _render(tokenizer, [*asked, {"role": "assistant", "content": _WORD}], template_vars)
    if whole.startswith(before):
        head = whole[len(before) :].partition(_WORD)[0]
        return Seam(head, "", head) if head.strip() else Seam("", "", "")  # blank space is the reply's: Mistral's
    opened = _OPEN.search(before)
    if opened is None or not whole.startswith(before[: opened.start()]):
        return Seam("", "", "")
    written = whole[opened.start() :].partition(_WORD)[0]
    blank = "\n" * max(0, 2 - opened[0].count("\n"))
    close = "[/THINK]" if opened[2] is None else f"</{opened[2]}>"
    return Seam(f"{blank}{close}\n\n", opened[0], written)


def end_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the ids at which an answer ends: the end-of-text token, and that with which the template ends a reply.

    It is asked of the template, for one family's end of a turn is another's end of a thought (``<|end|>``: Phi,
    gpt-oss).
    """
    found: set[int] = set()
    if tokenizer.eos_token_id is not None:
        found.add(int(tokenizer.eos_token_id))
    if getattr(tokenizer, "chat_template", None):
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _WORD}]
        after = encode(tokenizer, _render(tokenizer, turns, {}).rpartition(_WORD)[2])
        found.update([token for token in after if token in tokenizer.added_tokens_decoder][:1])
    return found


def header_ids(tokenizer: PreTrainedTokenizerBase, template_vars: dict[str, Any]) -> list[int]:
    """Return the ids with which the template opens the assistant's turn; none where it opens it with nothing."""
    messages = [{"role": "user", "content": "?"}]
    opened = _render(tokenizer, messages, template_vars, add_generation_prompt=True)
    closed = _render(tokenizer, messages, template_vars)
    return encode(tokenizer, opened[len(closed) :]) if opened.startswith(closed) else []


def without_header(ids: list[int], header: Sequence[int]) -> list[int]:
    """Return the ids of an answer without the header of a turn that a model has written before it once more."""
    while header and ids[: len(header)] == list(header):
        ids = ids[len(header) :]
    return ids


def last_ids(tokenizer: PreTrainedTokenizerBase, ends: Iterable[int], header: Sequence[int]) -> set[int]:
    """Return the ids before which an answer's text ends: those that stop the model, and a mark that begins a turn."""
    marks = tokenizer.added_tokens_decoder
    return {*ends, *(token for token in header[:1] if token in marks and marks[token].special)}


def spoken(
    tokenizer: PreTrainedTokenizerBase, ids: list[int], header: Sequence[int], last: Collection[int]
) -> tuple[str, int, str]:
    """Return the text of what a model has written, its length in tokens, and why it ended: ``stop`` or ``length``.

    Marks between which a family reasons stay in the text, be they special tokens or not (``replies`` splits there). A
    reply in channels is one of several messages: there a header of the assistant's own ends nothing. Where the header
    opens a think block, the text begins with it: what never closes it is no answer.
    """
    tokens = without_header(ids, header)  # skipping special tokens alone would leave its role
    kept_marks, channels = _marks(tokenizer)
    end = None
    for index, token in enumerate(tokens):
        if token in last and not (channels and tokens[index : index + len(header)] == list(header)):
            end = index
            break
    kept = tokens if end is None else tokens[:end]
    opened = _OPEN.search(str(tokenizer.decode(list(header)))) if header else None
    text, run = opened[0] if opened else "", list[int]()
    for token in kept:
        if token in kept_marks:
            text, run = text + str(tokenizer.decode(run, skip_special_tokens=True)) + kept_marks[token], []
        else:
            run.append(token)
    text += str(tokenizer.decode(run, skip_special_tokens=True))
    return text.strip(), len(kept), "length" if end is None else "stop"


@functools.lru_cache(maxsize=16)
def _marks(tokenizer: PreTrainedTokenizerBase) -> tuple[dict[int, str], bool]:
    """The special tokens with which a model tells its reasoning from its answer; and whether it speaks in channels."""
    special = {index: token.content for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    channels = "<|channel|>" in special.values()
    names = _CHANNELS if channels else ()
    return {index: name for index, name in special.items() if name in names or _KEPT.fullmatch(name)}, channels


@functools.lru_cache(maxsize=16)
def _control(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """What finds the names of a tokenizer's control tokens in a text; None where it has none."""
    names = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content}
    listed = sorted(names, key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, listed))) if listed else None


def _marked(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    """Return a message's text with marks around each control token's name in it, and without marks of its own."""
    control = _control(tokenizer)
    clean = content.replace(OPENED, "").replace(CLOSED, "")
    return clean if control is None else control.sub(lambda found: f"{OPENED}{found[0]}{CLOSED}", clean)


_SYSTEM_ROLE: weakref.WeakKeyDictionary[Any, dict[str, bool]] = weakref.WeakKeyDictionary()


def has_system_role(tokenizer: PreTrainedTokenizerBase, template_vars: dict[str, Any]) -> bool:
    """Whether the chat template renders a system message; Gemma's refuses one, others drop it without a word."""
    from jinja2 import TemplateError

    known = _SYSTEM_ROLE.setdefault(tokenizer, {})
    template = str(tokenizer.chat_template)
    if template not in known:
        messages = [{"role": "system", "content": _WORD}, {"role": "user", "content": "?"}]
        try:
            known[template] = _WORD in str(_apply(tokenizer, messages, template_vars, add_generation_prompt=True))
        except TemplateError:
            known[template] = False
    return known[template]


def manner(tokenizer: PreTrainedTokenizerBase, template_vars: dict[str, Any]) -> dict[str, Any]:
    """Return what the chat template does that is to be said of an arm.

    ``system`` and ``reasoning`` say it in words. ``switch`` is the variable that turns reasoning off, if it has one
    that is not set. ``reply_begins`` is what stands before a reply in training and not when the model is asked, blank
    space aside. ``date`` is the day that the template takes for today's, if it asks. Raises UserError where there is no
    template.
    """
    opened = _render(tokenizer, [{"role": "user", "content": "?"}], template_vars, add_generation_prompt=True)
    template, switch = str(tokenizer.chat_template), "enable_thinking"
    return {
        "system": _system(tokenizer, template_vars),
        "reasoning": _reasoning(template, opened, template_vars),
        "switch": switch if switch in template and switch not in template_vars else None,
        "reply_begins": _seam(tokenizer, template_vars).given.strip(),
        "date": str(template_vars.get("date_string", DATE)) if _CLOCK.search(template) else None,
    }


def _system(tokenizer: PreTrainedTokenizerBase, template_vars: dict[str, Any]) -> str:
    """Say in words where a template writes a system prompt: Gemma 3's and Mistral's write it into the user's turn."""
    if not has_system_role(tokenizer, template_vars):
        return "system text put before the first user turn: the template has no system role"
    apart = [{"role": "system", "content": _WORD}, {"role": "user", "content": "?"}]
    one, other = (
        _render(tokenizer, messages, template_vars, add_generation_prompt=True)
        for messages in (apart, _system_first(apart))
    )
    return "the template writes it into a user turn" if one == other else "a turn of its own"


def _reasoning(template: str, opened: str, template_vars: dict[str, Any]) -> str:
    """Say in words whether a template lets the model reason before it answers."""
    switch = next((name for name in ("enable_thinking", "thinking", "reasoning_effort") if name in template_vars), None)
    said = f" ({switch}={str(template_vars[switch]).lower()})" if switch else ""
    last = [*THINKING.finditer(opened)]
    if last:
        closed = THOUGHT.search(opened, last[-1].end())
        return ("off: the template opens and closes a think block" if closed else "on: it opens a think block") + said
    if THINKING.search(template) or THOUGHT.search(template):
        return "left to the model: the template opens no think block" + said
    return "none that the template knows of" + said


def check_trainable(known: dict[str, Any], model: str) -> None:
    """Raise UserError for a template of a certain ``manner`` that could reason or not, where nobody has said which.

    Templates like Qwen 3's put an empty think block before a reply that is trained on, and none at the end of a prompt.
    With reasoning off both have it; left on, ``training_row`` puts each reply behind it, untrained.
    """
    head, switch = known["reply_begins"], known["switch"]
    if switch and (THINKING.search(head) or THOUGHT.search(head)):
        raise UserError(
            f"{model} may reason or not, and it is not said which",
            f"each reply in training begins with {head!r}, and when asked the model reasons first",
            f"have neither arm reason, +model.template_vars.{switch}=false, or let both: =true",
        )


def _system_first(messages: Sequence[Message]) -> list[Message]:
    """Return messages with the text of a system message put before the first user turn."""
    system, *rest = messages
    first = next((place for place, message in enumerate(rest) if message["role"] == "user"), None)
    if first is None:
        return list(messages)
    own = {**rest[first], "content": f"{system['content']}\n\n{rest[first]['content']}"}
    return [*rest[:first], own, *rest[first + 1 :]]


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    template_vars: dict[str, Any],
    *,
    add_generation_prompt: bool = False,
) -> str:
    """Render messages; a control token's name in one of them stands between marks."""
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"{tokenizer.name_or_path} has no chat template",
            "it is not a chat model, so there is no way to put questions to it",
            "choose an instruction-tuned model",
        )
    marked = [{**message, "content": _marked(tokenizer, message["content"])} for message in messages]
    if marked[0]["role"] == "system" and not has_system_role(tokenizer, template_vars):
        marked = _system_first(marked)
    try:
        return _apply(tokenizer, marked, template_vars, add_generation_prompt=add_generation_prompt)
    except TemplateError as error:
        said = ", ".join(message["role"] for message in messages)
        fix = "give it turns that alternate between user and assistant, the user's first"
        raise UserError(f"the chat template refuses turns of {said}", str(error) or "no reason given", fix) from error


def _apply(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    template_vars: dict[str, Any],
    *,
    add_generation_prompt: bool,
) -> str:
    settings: dict[str, Any] = {**template_vars, "tokenize": False, "add_generation_prompt": add_generation_prompt}
    template = str(tokenizer.chat_template)
    if _CLOCK.search(template):
        settings["chat_template"] = _stopped(template, str(template_vars.get("date_string", DATE)))
    return str(tokenizer.apply_chat_template(list(messages), **settings))


@functools.lru_cache(maxsize=16)
def _stopped(template: str, date: str) -> str:
    """Return a template that has a date wherever it asks for today's, in the form that it asks for.

    Raises UserError for what is no date, unless the template has a use of its own for ``date_string``.
    """
    day: datetime | None = None
    for form in ("%d %b %Y", "%Y-%m-%d", "%d %B %Y"):
        with contextlib.suppress(ValueError):
            day = day or datetime.strptime(date, form)
    if day is not None:
        return _CLOCK.sub(lambda asked: repr(day.strftime(asked[2])), template)
    if "date_string" in template:
        return template
    why = "the chat template asks for today's date in a form of its own, and this cannot be read as one"
    raise UserError(f"model.template_vars.date_string={date} is no date", why, f"write it like {DATE}")


def control_token(text: str) -> str | None:
    """Return the first control token of any family whose text stands in a text, or None.

    A tokenizer reads such a text as the token itself: a reply that only speaks of the end of a turn would be trained to
    end it.
    """
    found = _CONTROL.search(text)
    return found[0] if found else None
