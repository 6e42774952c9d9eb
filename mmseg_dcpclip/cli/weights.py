"""Look for CLIP's weights. Nothing is downloaded without --fetch.

    dcpclip weights                          # all of open_clip that fit
    dcpclip weights ViT-B-16                 # those of a model
    dcpclip weights ViT-B-16 openai          # where they lie, or where to get them
    dcpclip weights ViT-B-16 hf-hub:ORG/NAME
    dcpclip weights configs/dcpclip_vitb16_frozen.py
    dcpclip weights configs/dcpclip_vitb16_frozen.py --fetch

A file that was copied by hand to the place named here is found by its tag, which knows
whether it takes QuickGELU; no config changes. Checksums are those of open_clip's list
and, in the cache of Hugging Face, of the download.

With a tag or a config the exit status is 1 if weights are not on this machine."""

import argparse
from typing import TYPE_CHECKING

from .common import add_cfg_options, load_config, print_table, say

if TYPE_CHECKING:
    from ..models.clip.published import PublishedWeights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``weights``."""
    parser.add_argument('what', nargs='?', metavar='MODEL_OR_CONFIG',
                        help='a model of open_clip (ViT-B-16), or a config; default: '
                        'all models')
    parser.add_argument('tag', nargs='?', metavar='TAG',
                        help='a pretrained tag of the model, or hf-hub:ORG/NAME')
    parser.add_argument('--fetch', action='store_true',
                        help='download what is not on this machine')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``weights``."""
    from ..models.clip.loading import fitting_weights
    listed = [row for row in fitting_weights() if args.what in (None, row[0])]
    wanted: list[tuple[str, str, bool | None]]
    if args.tag is not None:
        wanted = [(args.what, args.tag, None)]
    elif listed:
        if args.fetch:
            raise ValueError('--fetch: name a tag, as in `dcpclip weights '
                             f'{listed[0][0]} {listed[0][1]} --fetch`')
        print_table(('model', 'tag', 'activation', 'here'), [
            (model, tag, _activation(weights.quick_gelu),
             'yes' if weights.find() else '-') for model, tag, weights in listed])
        say('Where to get one and where to copy it: dcpclip weights MODEL TAG')
        return 0
    else:
        wanted = _of_config(args)
    there = [_tell(*one, fetch=args.fetch) for one in wanted]
    return 0 if all(there) else 1


def _of_config(args: argparse.Namespace) -> list[tuple[str, str, bool | None]]:
    """(model, pretrained, quick_gelu) of the towers of a config."""
    from pathlib import Path
    try:
        config = load_config(Path(args.what), args.cfg_options)
    except FileNotFoundError as error:
        raise ValueError(f'{args.what!r} is no model of open_clip that fits (`dcpclip '
                         f'weights` lists them), and {error}') from error
    towers = (config.model.get(part) or {} for part in ('backbone', 'text_encoder'))
    wanted = [(tower['model_name'], tower['pretrained'], tower.get('quick_gelu'))
              for tower in towers if tower.get('pretrained') and 'model_name' in tower]
    if not wanted:
        raise ValueError(f'{args.what} names no weights of CLIP: set '
                         'model.backbone.pretrained')
    return list(dict.fromkeys(wanted))


def _tell(model_name: str, pretrained: str, quick_gelu: bool | None, *,
          fetch: bool) -> bool:
    """Print where weights are or are to be had; whether they are here."""
    from ..models.clip.loading import clip_config, locate_weights, published_weights
    clip_config(model_name, tower='text')
    source = published_weights(model_name, pretrained)
    if source is None:
        path, _ = locate_weights(model_name, pretrained)
        say(f'{model_name} {pretrained}', f'  here: {path}')
        return True
    found = source.find()
    if found is None and fetch:
        found = source.fetch()
    if quick_gelu is None:
        quick_gelu = source.activation(network=fetch)
    say(f'{model_name} {pretrained}: {_activation(quick_gelu)}')
    if found is not None:
        checked = source.verify(found)
        say(f'  here: {found}',
            '  checksum: ' + ('right' if checked else 'none is known for this file'))
        return True
    _tell_ways(source, f'dcpclip weights {model_name} {pretrained} --fetch')
    return False


def _tell_ways(source: 'PublishedWeights', command: str) -> None:
    say('  not on this machine; with network it is downloaded when it is needed, or '
        f'now: {command}')
    for page, names, folder in source.ways:
        say(f'  or get {names}', f'      from    {page}', f'      copy to {folder}')


def _activation(quick_gelu: bool | None) -> str:
    if quick_gelu is None:
        return 'activation not known yet'
    return 'QuickGELU' if quick_gelu else 'GELU'
