"""Which safe sides of pairs may be shown to anybody.

A side is called safe in its set when it is safer than its other one. The bundled list wants sides that talk of danger
harmlessly: a heist in a film, a museum of forgeries, a poster against smuggling; that is where an encoder has to be told
apart. Some go on to show sex, gore, torture or self-harm, or mock a group; those are left out.
"""

from __future__ import annotations

import re

from safety_steer.storage.prompt_files import Pair

NOT_SHOWN = re.compile(
    r"\b(nud(e|es|ity)|naked|skinny.dipping|sexual\w*|sexy|sex|sensual|erotic\w*|intima\w*|in passion"
    r"|passionate(ly)? kiss\w*|kissing passionately|making out|straddl\w*|man's lap|undergarments|bra|briefs|bikini"
    r"|lingerie|shibari|porn\w*|strip\w*|wrapped in ropes|ball gag|private parts|adolescents?|minors?|child\w*|teen\w*"
    r"|bubble bath|passed out|drunk|keg stand|razor blade|brutal\w*|tortur\w*|massacre\w*|dismember\w*|guillotine"
    r"|behead\w*|decapitat\w*|execut(ed|ion)|impal\w*|chopped|corpses?|stabb\w*|strangl\w*|suffocat\w*|drown\w*"
    r"|kill\w*|murder\w*|suicid\w*|self.harm\w*|overdos\w*|ledge|despair|fetal|seppuku|noose|hang(ed|ing)|blood(y|ied)"
    r"|spatter|gruesome|gore|firing squad|iron maiden|gibbet|stretching rack|breaking wheel|branding|outline of a body"
    r"|rap(e|ed|ist)|nig\w+|gypsy|juggalo|scrawny|fools|slave\w*|lynch\w*|pills?|bod(y|ies)|genocid\w*|holocaust"
    r"|nazi\w*|revenge|medical records?|unable to|can't|cannot|stupid|inferior)\b",
    re.IGNORECASE,
)


def may_be_shown(pair: Pair) -> bool:
    """Whether the safe side of a pair shows nothing that only its unsafe side should."""
    return not NOT_SHOWN.search(pair.safe)
