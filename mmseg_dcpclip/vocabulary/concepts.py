"""Compare category names by concept rather than by spelling."""

import re

# Words that name the same concept, without blanks; the right side is COCO's.
_ALIASES = dict(
    aeroplane='airplane', blind='windowblind', cellulartelephone='cellphone',
    fridge='refrigerator', hairdryer='hairdrier', motorbike='motorcycle',
    remotecontrol='remote', sidewalk='pavement', sofa='couch', television='tv',
    televisionreceiver='tv', tvmonitor='tv', windowpane='window')
_PLURALS = (('ves', 'f'), ('ies', 'y'), ('sses', 'ss'), ('xes', 'x'),
            ('ches', 'ch'), ('shes', 'sh'))


def concept_keys(name: str) -> set[str]:
    """Spelling-independent keys of a name; equal keys mean equal concepts.

    The rule: lower case; a trailing '-other' or '-stuff' is dropped; '-' in
    'ceiling-Y', 'floor-Y', 'wall-Y' and 'window-Y' stands for both 'ceiling Y'
    and 'Y ceiling'; everything but letters and digits is dropped; a plural
    ending is cut off naively; a short list of aliases (sofa and couch, ...) is
    applied. COCO-Stuff's names are written in that style.

    Args:
        name: A category name.

    Returns:
        set[str]: One key, or two for the 'wall-Y' kind.
    """
    name = re.sub(r'-(other|stuff)$', '', name.lower())
    forms = [name]
    kind, dash, rest = name.partition('-')
    if dash and kind in ('ceiling', 'floor', 'wall', 'window'):
        forms.append(rest + kind)
    keys = set()
    for form in forms:
        key = re.sub(r'[\W_]+', '', form)
        for plural, singular in _PLURALS:
            if key.endswith(plural):
                key = key[:-len(plural)] + singular
                break
        else:
            if key.endswith('s') and not key.endswith(('ss', 'us')):
                key = key[:-1]
        keys.add(_ALIASES.get(key, key))
    return keys
