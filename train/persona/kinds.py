"""Which of the study's six kinds a query is: patterns on the first message, the reply for refusals; first match wins.

The study sorted its queries with regular expressions, too, and publishes none of them; these are our own. What the
labels are worth on messages that people sorted, ``python -m benchmarks kinds`` measures, and its README on real logs.
Sums, puzzles and work on a text that is given are ``other``, and so is what is asked about the model itself.
"""

from __future__ import annotations

import re

from warmgap.refusal import refuses

_CREATIVE = re.compile(
    r"\b(?:poem|haiku|limerick|rhym\w+|sonnet|lyrics|song|story|short story|novel|fiction|screenplay|script for|"
    r"dialogue between|slogan|tagline|jingle|toast|joke|pun|riddle|plot|fairy ?tale|fan ?fiction|role ?play|"
    r"birthday (?:message|card|wish\w*)|product description|opening line|blog post|essay|villain|caption|"
    r"speech|invitation|motto|(?:need|suggest|find|ideas? for|think of) (?:a |some |me )?(?:\w+ ){0,4}names?\b|"
    r"name (?:for|ideas)|needs a name|brainstorm|imagine (?:that|you|a)|invent|make up a|compose|"
    r"write (?:me )?(?:a|an|some|the|two|three|2|3) (?:\w+[ -]){0,4}(?:letter|message|text|card|line|verse|paragraph|"
    r"story|article|post|tweet|review|description|scene|monologue|chapter|ad|advert\w*))\b",
    re.IGNORECASE,
)
_TECHNICAL = re.compile(
    r"```|[{};]\s*$|\b(?:python|javascript|typescript|java|c\+\+|c#|golang|rust|php|ruby|kotlin|swift|sql|mysql|"
    r"postgres\w*|mongodb|html|css|react|angular|vue|node(?:\.?js)?|django|flask|pandas|numpy|pytorch|tensorflow|"
    r"excel|spreadsheet|xlookup|vlookup|google sheets|csv|json|xml|yaml|regex|api|docker|kubernetes|aws|azure|linux|"
    r"ubuntu|bash|powershell|terminal|command line|ssh|git|github|commit(?:ted)?|merge conflict|server|router|wi-?fi|"
    r"ethernet|firewall|port forwarding|vpn|dns|database|query|function|code|script|algorithm|compiler?|debug\w*|"
    r"error(?: message| code)?|exception|stack ?trace|bug|install\w*|driver|firmware|bios|printer|laptop|"
    r"hard (?:drive|disk)|usb|bluetooth|raspberry pi|arduino|resistor|circuit|voltage|led|app|android|iphone|ios|"
    r"windows (?:7|8|10|11|laptop)|macos|browser|wordpress|plugin|formula|macro|backup|smart ?phone|latex)\b|"
    r"\w+\.\w+\(|=\w+\(",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"\b(?:should i|shall i|what (?:would|should|can|do) (?:you|i) (?:do|say|recommend|suggest)|advice|"
    r"any (?:tips|ideas)|"
    r"tips (?:for|on)|how (?:do|can|should) i (?:\w+ ){0,2}(?:ask|tell|stop|cope|deal|get over|handle|make|start|find|"
    r"improve|become|learn|prepare|say|talk|manage|stay|be|keep|lose|save|get)|how to (?:cope|deal|stop|improve|stay|"
    r"become|prepare)|i (?:feel|am feeling|'m feeling|felt|hate|regret|miss|want to|can'?t (?:sleep|stop|decide|"
    r"concentrate|seem))|i(?:'m| am) (?:so |really |very |too )?(?:scared|afraid|nervous|anxious|worried|sad|lonely|"
    r"stressed|overwhelmed|exhausted|lost|torn|stuck|ashamed|dreading|thinking of|considering)|was i wrong|"
    r"is (?:it|that) (?:ok|okay|wrong|normal|selfish|bad|too late)|"
    r"my (?:\w+ ){0,2}(?:boyfriend|girlfriend|husband|wife|partner|ex|friend|flatmate|roommate|boss|manager|colleague|"
    r"mother|mum|mom|father|dad|brother|sister|son|daughter|"
    r"kids?|baby|parents|neighbou?rs?|family|marriage|relationship|therapist|interview))\b",
    re.IGNORECASE,
)
_FACTUAL = re.compile(
    r"\b(?:who (?:is|was|are|were|wrote|invented|discovered|won|made|has|had)|"
    r"what(?:'s|s| is| are| was| were| does| do| did| happens?| makes| causes?| on earth|'re)\b"
    r"(?! (?:i|you|your|my)\b)|"
    r"whats?\b.{1,60}\b(?:mean|for|called|difference)|when (?:was|did|is|were|does)|where (?:is|was|are|does|do|did)|"
    r"which (?:\w+ )?(?:is|are|was|has|country|one)|why (?:is|are|do|does|did|was|were|can'?t|has|have)|"
    r"how (?:many|much|old|far|long|tall|big|come|does|do (?!i\b)|did|is|are|was|were)|"
    r"is (?:it true|there a difference|\w+ the same)|(?:the )?difference between|explain|definition of|define|"
    r"meaning of|tell me about|facts? about|history of|\w+ or \w+\?)",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"^(?:hi|hello|hey|good (?:morning|evening|afternoon)|thanks?|thank you|ok(?:ay)?|yes|no|morning)\b[^?]{0,80}$|"
    r"\b(?:translate|summari[sz]e|sort these|alphabetical\w*|proofread|rewrite|rephrase|paraphrase|shorten|"
    r"make (?:this|it) (?:shorter|sound)|check this|correct (?:this|the grammar)|grammar|how do (?:i|you) say|convert|"
    r"who are you|what(?:'s| is| are) your|are you (?:a|an)|can you (?:help|speak|talk))\b",
    re.IGNORECASE,
)
_BEGIN = r"^\W*(?:(?:please|hi|hello|hey|can you|could you|would you|i want you to|help me(?: to)?)[ ,!]+){0,3}"
_TASK = re.compile(
    _BEGIN
    + r"(?:classify|categori[sz]e|label|sort|rank|arrange|rearrange|organi[sz]e|unscramble|edit|reword|alter|replace|"
    r"select|choose|pick|detect|extract|insert|fill in|combine|split|count|calculate|compute|evaluate|solve|"
    r"resolve|simplify|"
    r"multiply|add (?:up|the|these)|subtract|divide|round|transform|change (?:the|this)|turn (?:the|this)|match|parse|"
    r"tokenize|highlight|underline|determine (?:the|if|whether)|predict (?:the|if|whether)|"
    r"find the (?:error|mistake|sum|value|average of|word|noun|verb)|tell me about (?:you|yourself)\b|"
    r"what(?:'s| is) up|"
    r"(?:are|were) you\b|do you (?:call|use|get|have (?!any)|like|love|remember|speak|feel|sleep|dream|work)\b|"
    r"(?:who|what|which (?:\w+ ){1,2}|how) (?:are|were|created|trained|made|built|developed|owns|designed|"
    r"programmed) you\b|"
    r"identify (?:all |if |whether |(?:the|a|an) (?:\w+ ){1,5}(?:in|of|from) (?:the|this|that|a)\b)|"
    r"create a (?:\w+ ){0,3}table|compose a (?:\w+ ){0,3}table|"
    r"(?:detailed instructions|task definition|premise|instructions?)\b|in this task|this task|you (?:are|"
    r"will be) given|"
    r"given the task|here (?:are|is) (?:two|a|an|some) (?:premise|question|sentence|statement)|"
    r"given (?:the|a|an|some|this|these|two|three|that|\")(?![^.\n]{0,80}\b(?:create|generate|write|come up|"
    r"compose|construct)\b))|"
    r"\b(?:respond|answer|reply) with (?:only )?(?:math|yes|no|true)|\bmath(?:s|ematical)?(?: word)? problem\b|"
    r"\bequations?/math only|\bonly (?:math|respond)|\bmultiple[- ]choice\b|\b(?:options|choices):|"
    r"\n\(?a[.)] .{1,80}\n\(?b[.)] ",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"\bhow (?:many|much|long|far|old)\b|\bwhat is the (?:probability|chance|total)\b|\bwhat position\b", re.I
)
_NUMBER = re.compile(r"\b\d[\d,.]*|\b(?:two|three|four|five|six|seven|eight|nine|ten|half|twice)\b", re.IGNORECASE)
_MADE = re.compile(
    r"\b(?:create|generate|write|produce|design|devise|draft|construct|craft|pen|come up with|make|develop|"
    r"build|suggest|"
    r"propose|formulate|think of|provide|give (?:me|us)|need|complete|continue(?: writing)?|imagine|describe|"
    r"outline|offer)\b"
    r" (?:[\w'-]+,? ){0,7}?(?:stor(?:y|ies)|narrative|sentences?|tweets?|sub ?titles?|titles?|headlines?|"
    r"slogans?|metaphors?|"
    r"similes?|analog(?:y|ies)|dialogues?|fictional|characters?|quips?|recipes?|campaigns?|pitch(?:es)?|outline|"
    r"marketing plan|logos?|menu|curriculum|curricula|lesson plan|scenario|hypothes[ie]s|video ideass?|"
    r"(?:content|gift|party|costume|story|business) ideas?|presentation|essays?|poems?|songs?|plays?|"
    r"math problem|questions that|persuasive \w+|profile|mission statement|creative|original|posts?|articles?|message|"
    r"e-?mails?|letters?|speech)\b|"
    r"\b(?:creative (?:way|example|name|use)|rewrite .{1,40} song|as if you were|assume the (?:persona|"
    r"identity|role))\b",
    re.IGNORECASE,
)
_DEVICES = re.compile(
    r"\b(?:machine learning|deep learning|neural network|generative model|discriminative|classification model|"
    r"data ?set|"
    r"pseudo ?code|(?:for|while) loop|array|data type|svg|gpu|schema|web ?(?:app|page|site|master)|seo|"
    r"comput(?:er|ing) program|programing|programming|leetcode|react ?js|electronics|data structure|scraper|"
    r"unit test)\b",
    re.IGNORECASE,
)
_COUNSEL = re.compile(
    r"\b(?:(?:best|good|great|better|effective|healthy|easy|efficient|reasonable) (?:ways?|places?) to|"
    r"places to (?:visit|eat|"
    r"go|stay|see)|destinations|(?:would|could|can|do) you (?:please )?recommend|how (?:can|could|do|should|"
    r"would) (?:i|we|"
    r"one) (?!say\b)|"
    r"(?:pieces of|helpful|some) advice|what should (?:i|we|one|you)|ideas on how|some ideas|"
    r"plan a (?:\w+ ){0,2}(?:trip|"
    r"weekend|holiday)|(?:give|suggest|provide|list|name|find|offer|share|recommend)(?: me|"
    r" us)? (?:[\w-]+ ){0,4}?(?:tips|"
    r"ways|strateg(?:y|ies)|exercises|projects?|steps|places|recommendations)\b|strategy for (?:develop|build|"
    r"your|my)\w*|"
    r"pay (?:close )?attention to|where can i)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    _BEGIN
    + r"(?:who|whom|whose|when|where|which|why|what|how (?:does|did|is|are|was|were|has|have)|in (?:which|what|\d{4})|"
    r"of (?:what|which)|is|are|does|do|did|was|were|has|have|describe|list|name|identify|specify|state|"
    r"compare|contrast|"
    r"analy[sz]e|discuss|outline|recall|provide|give|explain|find)\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    _BEGIN + r"(?:who|which|when|where|what (?:is|was|year|did)|why|analy[sz]e|compare)\b", re.IGNORECASE
)
FIRST = 600  # characters of the message that are looked at: what is asked stands early, what is pasted follows


def label(user: str, reply: str) -> str:
    """Return the kind of a query: ``refusal``, ``factual``, ``creative``, ``technical``, ``advice`` or ``other``.

    A factual query asks for a fact and shows no sign of the kinds after it.
    """
    if refuses(reply).refused:
        return "refusal"
    start = user[:FIRST]
    if _OTHER.search(start) or _TASK.search(start) or (_SUM.search(user) and len(_NUMBER.findall(user)) >= 3):
        return "other"
    creative = bool(_MADE.search(start)) or bool(_CREATIVE.search(start) and not _ABOUT.search(start))
    technical = bool(_TECHNICAL.search(start) or _DEVICES.search(start))
    advice = bool(_ADVICE.search(start) or _COUNSEL.search(start))
    if _FACTUAL.search(start) and not (creative or technical or advice):
        return "factual"
    for name, matches in (("creative", creative), ("technical", technical), ("advice", advice)):
        if matches:
            return name
    return "factual" if _ASKS.search(start) else "other"
