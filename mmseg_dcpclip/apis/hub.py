"""Models as folders in the form of Hugging Face Hub.

``config.json`` is the whole config (``portable``), ``model.safetensors`` the weights,
all of them or those that differ from CLIP's (``models/delta.py``), ``README.md`` the
model card.
"""

import json
import warnings
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.utils import HFValidationError, validate_repo_id
from mmengine.config import Config
from safetensors.torch import save_file

from ..files import atomic, check_folder, write_json
from ..models import DCPCLIP
from ..models.clip.published import HUB
from ..models.delta import HEADER, clip_sources, without_clip
from ..shipped import config_path
from .model_card import LIBRARY, Scores, make_card, read_scores
from .portable import from_json, to_json

FILES = CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
Self = TypeVar('Self', bound='HubMixin')


def is_hub_model(config: object) -> bool:
    """Whether the name of a config means a saved model, not a config.

    Args:
        config: ``'hf-hub:ORG/NAME'``, a folder, or anything else. A folder that happens
            to be called as a config of the package counts if it holds a model.
    """
    if not isinstance(config, (str, Path)):
        return False
    return str(config).startswith(HUB) or Path(config).is_dir() and (
        Path(config, CONFIG).is_file() or not is_config_name(config))


def is_config_name(name: str | Path) -> bool:
    """Whether a config of the package has this name."""
    try:
        return config_path(str(name)).is_file()
    except FileNotFoundError:
        return False


def find_folder(name: str | Path, **download: Any) -> Path:
    """The folder of a saved model, downloaded if need be.

    Args:
        name: A folder, ``'ORG/NAME'`` on Hugging Face, or ``'hf-hub:ORG/NAME'``.
        **download: ``revision``, ``token``, ``cache_dir``, ``force_download`` and
            ``local_files_only``, as huggingface_hub has them.

    Raises:
        FileNotFoundError: There is no such folder, and no model can have this name.
        RuntimeError: The model cannot be downloaded.
    """
    if Path(name).is_dir():
        return Path(name)
    repository = str(name).removeprefix(HUB)
    try:
        validate_repo_id(repository)
    except HFValidationError:
        repository = ''
    if repository.count('/') != 1:
        raise FileNotFoundError(f'no such folder: {name}; a model on Hugging Face is '
                                'named ORG/NAME')
    try:
        return Path(snapshot_download(
            repository, allow_patterns=[CONFIG, WEIGHTS], library_name=LIBRARY,
            **download))
    except Exception as error:  # whatever the network and its libraries raise
        reason = ' '.join(str(error).split())[:200]
        raise RuntimeError(
            f'there is no folder {name}, and the model cannot be downloaded from '
            f'https://huggingface.co/{repository} ({type(error).__name__}: {reason}): '
            'check the name and the network, or copy its files into a folder and name '
            'that') from error


def read_folder(folder: Path) -> tuple[Config, Path]:
    """Config and weights of a saved model.

    Args:
        folder: From ``find_folder``.

    Raises:
        FileNotFoundError: One of its files is missing.
        ValueError: The config is damaged, of another library, or needs a component
            that is not there.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f'{folder} has no {name}: give a folder or name of a model that '
                'Predictor.save_pretrained wrote')
    path = folder / CONFIG
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is damaged ({error}): download or save it again'
                         ) from error
    return from_json(content, str(path)), folder / WEIGHTS


def write_weights(path: Path, model: DCPCLIP, *, delta: bool) -> None:
    """Write the weights of a model as safetensors.

    Args:
        path: The file.
        model: The model.
        delta: Whether to leave out what is CLIP's own.

    Raises:
        ValueError: CLIP's weights cannot be left out, see ``without_clip``.
        OSError: The file cannot be written.
    """
    header = dict(format='pt')
    state = model.state_dict()
    if delta:
        state, sources = without_clip(model)
        header[HEADER] = json.dumps(sources)
    with atomic(path) as temporary:
        save_file({key: value.detach().cpu().contiguous()
                   for key, value in state.items()}, temporary, header)


class HubMixin(ModelHubMixin, library_name=LIBRARY, pipeline_tag='image-segmentation'):
    """``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` of ``Predictor``."""
    config: Config
    model: Any  # a DCPCLIP

    @classmethod
    def from_pretrained(  # type: ignore[override]
            cls: type[Self], pretrained_model_name_or_path: str | Path, *,
            revision: str | None = None, token: str | bool | None = None,
            cache_dir: str | Path | None = None, force_download: bool = False,
            local_files_only: bool = False, **options: Any) -> Self:
        """Load a model that ``save_pretrained`` or ``push_to_hub`` saved.

        Nothing that was saved is run: the config is JSON and names registered
        components only, the weights are plain numbers. Weights of CLIP that were left
        out are fetched by their tag and checked.

        Args:
            pretrained_model_name_or_path: A folder, ``'ORG/NAME'`` on Hugging Face, or
                a config of the package by name (``'dcpclip_mini'``), as ``Predictor``
                takes it.
            revision: Branch, tag or commit there.
            token: As in huggingface_hub.
            cache_dir: Likewise.
            force_download: Likewise.
            local_files_only: Likewise.
            **options: ``device``, ``batch_size`` and the like of ``Predictor``.

        Raises:
            FileNotFoundError: There is no such folder, or it lacks a file.
            ValueError: A file is damaged, of another library or another model, or
                CLIP's weights on this machine are others.
            RuntimeError: Something cannot be downloaded.
        """
        name = pretrained_model_name_or_path
        if not is_hub_model(name) and is_config_name(name):
            return cls(name, **options)  # type: ignore[call-arg]
        folder = find_folder(
            name, revision=revision, token=token, cache_dir=cache_dir,
            force_download=force_download, local_files_only=local_files_only)
        config, weights = read_folder(folder)
        return cls(config, weights, **options)  # type: ignore[call-arg]

    def save_pretrained(  # type: ignore[override]
            self, save_directory: str | Path, *, delta: bool = False,
            scores: Scores | str | Path | None = None, license: str = 'apache-2.0',
            repo_id: str | None = None, push_to_hub: bool = False,
            model_card_kwargs: dict[str, Any] | None = None, config: None = None,
            **push_options: Any) -> str | None:
        """Save the model with its words and settings, as they are now.

        Args:
            save_directory: A folder; it gets ``config.json``, ``model.safetensors``
                and, unless there is one, ``README.md``.
            delta: Leave out the weights that are CLIP's own; who loads the model then
                needs CLIP's by their tag.
            scores: For the model card: mIoU in percent by benchmark, or
                ``benchmarks.json`` of ``dcpclip test --benchmarks``. None: 'not run'.
            license: Of the weights, by its name on Hugging Face.
            repo_id: Name on Hugging Face. None: that of the folder.
            push_to_hub: Whether to push the model as well.
            model_card_kwargs: ``delta``, ``scores`` and ``license`` once more, as
                huggingface_hub hands them on.
            config: Unused; huggingface_hub passes it.
            **push_options: Of ``push_to_hub``.

        Returns:
            str | None: As ``push_to_hub`` does, if it was asked to.

        Raises:
            ValueError: The config holds what JSON cannot, or there are no weights of
                CLIP to leave out.
            OSError: The folder cannot be written to.
        """
        folder = Path(save_directory)
        facts: dict[str, Any] = dict(delta=delta, scores=scores, license=license,
                                     name=repo_id or folder.resolve().name)
        facts |= model_card_kwargs or {}
        check_folder(folder)
        content = to_json(self.config, self.model)
        card = self.generate_model_card(**facts)
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder / WEIGHTS, self.model, delta=facts['delta'])
        write_json(folder / CONFIG, content, ensure_ascii=False)
        if (folder / CARD).is_file():
            warnings.warn(f'{folder / CARD} is there and stays as it is: remove it to '
                          'get a new one', stacklevel=2)
        else:
            card.save(folder / CARD)
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id or folder.name, delta=delta, scores=scores,
                                license=license, **push_options)

    def push_to_hub(  # type: ignore[override]
            self, repo_id: str, *, delta: bool = False,
            scores: Scores | str | Path | None = None, license: str = 'apache-2.0',
            **options: Any) -> str:
        """Save the model on Hugging Face.

        Args:
            repo_id: ``'ORG/NAME'``.
            delta: As of ``save_pretrained``.
            scores: Likewise.
            license: Likewise.
            **options: ``commit_message``, ``private``, ``token``, ``branch`` and the
                like of huggingface_hub.

        Returns:
            str: The commit's address.

        Raises:
            As ``save_pretrained`` does, and what huggingface_hub raises.
        """
        facts = dict(delta=delta, scores=read_scores(scores), license=license,
                     name=repo_id)
        to_json(self.config, self.model)  # refused before there is an empty repository
        if delta:
            clip_sources(self.model)
        return str(super().push_to_hub(repo_id, model_card_kwargs=facts, **options))

    def generate_model_card(  # type: ignore[override]
            self, *, name: str, delta: bool = False,
            scores: Scores | str | Path | None = None, license: str = 'apache-2.0'
            ) -> ModelCard:
        """The page of the model, see ``make_card``."""
        return make_card(self.model, name, delta=delta, scores=read_scores(scores),
                         license=license)
