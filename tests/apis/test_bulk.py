"""Any number of pictures: what is written, killed, shared, gone on with."""

import csv
import io
import multiprocessing
import os
import signal
import tarfile
import threading
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from toys import WORDS, toy_model_config

from mmseg_dcpclip import Predictor, Vocabulary
from mmseg_dcpclip.apis import find_pictures, load_image
from mmseg_dcpclip.apis.bulk import (
    BulkOptions,
    batching,
    files,
    masks,
    open_source,
    run,
    segment_all,
    videos,
)
from mmseg_dcpclip.apis.bulk.batching import BatchSettings, batches_of
from mmseg_dcpclip.apis.bulk.parts import Item, Part, Share
from mmseg_dcpclip.apis.bulk.records import Done, Records
from mmseg_dcpclip.apis.preparing import prepare

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadWideAnnotations'),
            dict(type='PackSegInputs')]
VOCABULARY = Vocabulary(WORDS)
SIZES = ((24, 32), (16, 16), (40, 24))


@pytest.fixture(scope='module')
def predictor():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match='untrained'):
        return Predictor(Config(dict(model=toy_model_config(),
                                     test_pipeline=PIPELINE)))


def pixels(size, seed):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def png(size, seed):
    content = io.BytesIO()
    Image.fromarray(pixels(size, seed)).save(content, format='PNG')
    return content.getvalue()


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """20 pictures of three sizes below folders, one of them broken, one turned."""
    root = tmp_path_factory.mktemp('photos')
    for i in range(18):
        path = root / ('a' if i % 4 else 'b/deep') / f'{i:02d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(SIZES[i % 3], i))
    (root / 'a' / 'broken.jpg').write_bytes(b'\xff\xd8\xff')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels((24, 32), 99)).save(root / 'turned.jpg', exif=exif)
    return root


def segment(predictor, source, out, **options):
    """``segment_all`` in this process."""
    options = {'workers': 0, 'batch_size': 4, **options}
    if isinstance(source, Path):
        source = open_source([str(source)], leave_out=out)
    return segment_all(predictor, source, out, VOCABULARY, BulkOptions(**options))


def content(folder, without='ends'):
    """All files of a folder by their relative paths."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob('*') if path.is_file()
            and without not in path.parts}


@pytest.fixture(scope='module')
def small_parts():
    patch = pytest.MonkeyPatch()
    patch.setattr(files, 'PART', 5)
    patch.setattr(videos, 'PART', 3)
    yield
    patch.undo()


@pytest.fixture(scope='module')
def whole(predictor, photos, tmp_path_factory, small_parts):
    """A folder of masks made at one go, with a summary."""
    out = tmp_path_factory.mktemp('whole') / 'out'
    result = segment(predictor, photos, out, summary=out / 'words.csv')
    assert result.written == 19 and list(result.bad) == ['a/broken.jpg']
    return out


def test_masks_are_those_of_single_pictures(predictor, photos, whole):
    pictures = find_pictures([photos])
    assert len(pictures) == 20
    for file in pictures:
        label = whole / f'{file.stem}_labels.png'
        if file.name == 'a/broken.jpg':
            assert not label.exists()
            continue
        expected = predictor.predict(file.path, VOCABULARY).pred_sem_seg.data[0].numpy()
        found = np.asarray(Image.open(label))
        assert found.dtype == np.uint8
        assert found.shape == load_image(file.path).shape[:2]
        assert (found == expected).mean() > 0.99  # a batch may round otherwise
    assert np.asarray(Image.open(whole / 'turned_labels.png')).shape == (32, 24)
    table = list(csv.reader((whole / 'left_out.csv').open()))
    assert table[0] == ['picture', 'reason'] and len(table) == 2
    assert table[1][0] == 'a/broken.jpg'
    assert 'cannot be read as a picture' in table[1][1]


def test_summary(predictor, photos, whole, tmp_path):
    rows = list(csv.DictReader((whole / 'words.csv').open()))
    assert [*rows[0]] == ['picture', 'word', 'share', 'score']
    for name in ('a/01.png', 'turned.jpg'):
        result = predictor.predict(photos / name, VOCABULARY, return_scores=True)
        seg_map, found = result.pred_sem_seg.data[0], result.word_scores
        own = [row for row in rows if row['picture'] == name]
        assert sum(float(row['share']) for row in own) == pytest.approx(1, abs=1e-5)
        assert {row['word'] for row in own} == {WORDS[i] for i in seg_map.unique()}
        for row in own:
            pixels_of = seg_map == WORDS.index(row['word'])
            best = found.maps[found.names.index(row['word'])][pixels_of].max()
            assert float(row['score']) == pytest.approx(best.item(), abs=2e-3)
            assert float(row['share']) == pytest.approx(
                pixels_of.float().mean().item(), abs=0.01)
    parquet = pytest.importorskip('pyarrow.parquet')
    other = tmp_path / 'new' / 'words.parquet'
    again = segment(predictor, photos, whole, summary=other)
    assert again.written == 0 and again.before == 19  # made from the records
    table = parquet.read_table(other).to_pylist()
    assert [tuple(row.values())[:2] for row in table] == [
        (row['picture'], row['word']) for row in rows]
    np.testing.assert_allclose([row['score'] for row in table],
                               [float(row['score']) for row in rows], rtol=1e-5)


def test_in_worker_processes(predictor, photos, whole, tmp_path):
    out = tmp_path / 'out'
    segment(predictor, photos, out, workers=2, summary=out / 'words.csv')
    assert content(out) == content(whole)


def test_killed_and_run_again(predictor, photos, whole, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    write = masks.write_label

    def slowly(path, *args):
        time.sleep(0.02)
        write(path, *args)

    def child():
        torch.set_num_threads(1)
        monkeypatch.setattr(masks, 'write_label', slowly)
        segment(predictor, photos, out, workers=1)

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    while process.is_alive() and len(list(out.rglob('*_labels.png'))) < 8:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(out.rglob('*_labels.png'))) < 19
    (out / '.dcpclip' / 'halves' / '0' / '.x_labels.png.1.tmp').write_bytes(b'half')
    before = len(list(Records(out)))
    result = segment(predictor, photos, out, summary=out / 'words.csv')
    assert result.before == before and result.written == 19 - before
    assert content(out) == content(whole)


def test_two_processes_share_the_work(predictor, photos, whole, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setenv('MASTER_PORT', '1')
    results = []
    for rank in range(2):
        monkeypatch.setenv('RANK', str(rank))
        results.append(segment(predictor, photos, out, summary=out / 'words.csv'))
        assert (out / 'words.csv').exists() == (rank == 1)
    first, second = results
    assert 0 < first.written < 19 and first.written + second.written == 19
    assert first.bad is None and list(second.bad) == ['a/broken.jpg']
    assert content(out) == content(whole)
    monkeypatch.setenv('MASTER_PORT', '2')  # started anew: the other's end is no news
    monkeypatch.setenv('RANK', '0')
    assert segment(predictor, photos, out).bad is None


def test_only_what_is_missing_is_done(predictor, photos, tmp_path):
    root, out = tmp_path / 'in', tmp_path / 'out'
    root.mkdir()
    for i in range(3):
        (root / f'{i}.png').write_bytes(png((16, 16), i))
    (root / 'torn.png').write_bytes(png((16, 16), 7)[:50])
    assert segment(predictor, root, out).written == 3
    assert segment(predictor, root, out).written == 0
    (out / '1_labels.png').unlink()
    (root / '00.png').write_bytes(png((16, 16), 8))
    (root / 'torn.png').write_bytes(png((16, 16), 7))
    result = segment(predictor, root, out, summary=out / 'words.csv')
    assert result.written == 3 and result.bad == {}
    assert not (out / 'left_out.csv').exists()
    rows = list(csv.DictReader((out / 'words.csv').open()))
    assert {row['picture'] for row in rows} == {
        '0.png', '00.png', '1.png', '2.png', 'torn.png'}
    assert sum(float(row['share']) for row in rows) == pytest.approx(5, abs=1e-4)


def test_other_settings_are_refused(predictor, photos, whole):
    before = content(whole)
    source = open_source([str(photos)])
    with pytest.raises(ValueError, match=r'differs in words \(.*another folder'):
        segment_all(predictor, source, whole, Vocabulary(['sky', 'sea']), BulkOptions())
    with pytest.raises(ValueError, match='differs in background'):
        segment(predictor, source, whole, background='0.3')
    with pytest.raises(ValueError, match='differs in pictures'):
        segment(predictor, photos / 'a', whole)
    weight = next(predictor.model.parameters())
    with torch.no_grad():
        weight.view(-1)[0] += 1
    try:
        with pytest.raises(ValueError, match='differs in weights'):
            segment(predictor, source, whole)
    finally:
        with torch.no_grad():
            weight.view(-1)[0] -= 1
    assert content(whole) == before


def test_memory_is_bounded(predictor, photos, tmp_path, monkeypatch):
    """However slow the disk is, no more results live than may wait."""
    references, most, read, gate = [], [], [], threading.Event()
    take, write, load = masks.Masks.taken_off, masks.write_label, Item.load

    def taken_off(self, result):
        found = take(self, result)
        references.append(weakref.ref(found[0]))
        most.append(sum(reference() is not None for reference in references))
        if len(most) > 5:  # two batches of 2 wait, and nobody reads on
            gate.set()
        return found

    def stuck(*args):
        gate.wait(0.2)
        write(*args)

    monkeypatch.setattr(masks.Masks, 'taken_off', taken_off)
    monkeypatch.setattr(masks, 'write_label', stuck)
    monkeypatch.setattr(Item, 'load', lambda item: (read.append(
        len(read) - len(most)), load(item))[1])
    result = segment(predictor, photos, tmp_path / 'out', batch_size=2, writers=1)
    assert result.written == 19
    assert max(most) <= 2 * 2 + 1 + 1  # waiting, being written, handed over
    assert max(read) <= 5 + 2  # of a part, and of a batch


def test_pictures_of_one_name_at_once(tmp_path):
    from mmseg_dcpclip.files import atomic
    root = tmp_path / 'halves'
    root.mkdir()
    both = threading.Barrier(2)

    def write(folder):
        (tmp_path / folder).mkdir()
        with atomic(tmp_path / folder / '0.png', root) as temporary:
            both.wait(10)
            temporary.write_text(folder)
            both.wait(10)

    threads = [threading.Thread(target=write, args=(name, )) for name in 'ab']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / name / '0.png').read_text() for name in 'ab'] == ['a', 'b']


def test_a_full_disk_ends_the_work(predictor, photos, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device', 'x.png')
    monkeypatch.setattr(masks, 'write_label', full)
    with pytest.raises(OSError, match='x.png'):
        segment(predictor, photos, tmp_path / 'out')
    assert list(Records(tmp_path / 'out')) == []


def test_drawings(predictor, tmp_path):
    root, out = tmp_path / 'in', tmp_path / 'out'
    root.mkdir()
    (root / 'p.png').write_bytes(png((16, 20), 0))
    segment(predictor, root, out, draw=True)
    drawing = np.asarray(Image.open(out / 'p_overlay.png'))
    zoom = round(320 / 16)
    np.testing.assert_array_equal(drawing[::zoom, :20 * zoom:zoom][:16],
                                  pixels((16, 20), 0))


# ------------------------------------------------------------------------- batches

def items(sizes):
    return [Item(f'{i}.png', str(i), png(size, i)) for i, size in enumerate(sizes)]


def batches(predictor, sizes, batch_size, done):
    return list(batches_of(Part('0', items(sizes)), BatchSettings(
        predictor.pipeline, batch_size), done))


def test_batches_have_one_size_and_nothing_is_padded(predictor, tmp_path):
    sizes = [SIZES[i] for i in (0, 1, 0, 2, 0, 1, 0)]
    *full, last = batches(predictor, sizes, 3, Done(tmp_path))
    assert [batch.stems for batch in full] == [
        ['0', '2', '4'], ['1', '5'], ['3'], ['6']]
    assert last.last and not last.stems and not any(batch.last for batch in full)
    for batch in full:
        for stem, inputs, sample in zip(batch.stems, batch.inputs, batch.samples):
            alone = prepare(predictor.pipeline, pixels(sizes[int(stem)], int(stem)))
            assert torch.equal(inputs, alone['inputs'])
            assert sample.ori_shape == sizes[int(stem)]


def test_what_waits_for_its_like_is_bounded(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(batching, 'MAX_VALUES', 2 * 24 * 32 * 3)
    sizes = [(24, 32), (24, 31), (24, 30), (24, 29), (24, 32)]
    found = batches(predictor, sizes, 4, Done(tmp_path))
    assert [batch.stems for batch in found] == [['0'], ['1'], ['2'], ['3'], ['4'], []]


def test_what_is_done_is_left_out_of_batches(predictor, tmp_path):
    (tmp_path / '1_labels.png').touch()
    done = Done(tmp_path, iter(['1', '2']))  # of 2 the mask is gone
    found, last = batches(predictor, [(16, 16)] * 3, 3, done)
    assert found.stems == ['0', '2'] and last.there == 1


# ------------------------------------------------------------------------- sources

ALL = Share()


def names(source, share=ALL):
    return [item.name for part in source.parts(share) for item in part.items]


def shared(source, count):
    return sorted(name for i in range(count) for name in names(source, Share(i, count)))


def make_tar(path, samples):
    with tarfile.open(path, 'w') as tar:
        for name, data in samples:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_tars(predictor, tmp_path):
    pytest.importorskip('webdataset')
    for i in range(3):
        make_tar(tmp_path / f's-{i}.tar', [
            (f'd/{i}{j}.{ending}', data) for j in range(4) for ending, data in
            (('json', b'{}'), ('JPG' if j else 'png', png(SIZES[0], 4 * i + j)))])
    source = open_source([str(tmp_path / 's-{0..2}.tar')])
    keys = [f'd/{i}{j}' for i in range(3) for j in range(4)]
    assert names(source) == keys
    for count in (2, 3, 4, 7):  # fewer workers than tars, and more
        assert shared(source, count) == keys
    out = tmp_path / 'out'
    assert segment(predictor, source, out).written == 12
    expected = predictor.predict(pixels(SIZES[0], 5), VOCABULARY).pred_sem_seg.data[0]
    found = np.asarray(Image.open(out / 'd/11_labels.png'))
    assert (found == expected.numpy()).mean() > 0.99
    assert segment(predictor, source, out).written == 0


def test_bad_tars(predictor, tmp_path):
    pytest.importorskip('webdataset')
    path = tmp_path / 's.tar'
    make_tar(path, [('0.png', png((16, 16), 0)), ('1.txt', b'a'),
                    ('../2.png', png((16, 16), 2)), ('3.png', png((16, 16), 3))])
    whole = path.read_bytes()
    path.write_bytes(whole[:whole.index(b'3.png') + 700])
    result = segment(predictor, open_source([str(path)]), tmp_path / 'out')
    assert result.written == 1 and set(result.bad) == {'1', '../2', str(path)}
    assert 'has no picture, only txt' in result.bad['1']
    assert 'lead out' in result.bad['../2'] and 'copy it again' in result.bad[str(path)]
    with pytest.raises(FileNotFoundError, match='no such tar: .*gone-1'):
        open_source([str(tmp_path / 'gone-{1..2}.tar')])
    with pytest.raises(ValueError, match='each kind'):
        open_source([str(path), str(tmp_path)])


def test_what_reads_tars_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'webdataset', None)
    with pytest.raises(ModuleNotFoundError, match=r'mmseg-dcpclip\[bulk\]'):
        open_source(['s.tar'])


def test_videos(predictor, tmp_path, small_parts):
    path = tmp_path / 'walk.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
    for i in range(8):
        writer.write(np.full((24, 32, 3), 30 * i, np.uint8))
    writer.release()
    source = open_source([str(path)])
    frames = [f'walk/{i:06d}' for i in range(8)]
    assert names(source) == shared(source, 2) == frames
    assert [source.count(Share(i, 2)) for i in range(2)] == [5, 3]
    for share in (Share(), Share(1, 2)):
        for part in source.parts(share):
            for item in part.items:
                grey = item.load().mean()
                assert grey == pytest.approx(30 * int(item.name[-6:]), abs=4)
    out = tmp_path / 'out'
    assert segment(predictor, source, out).written == 8
    assert (out / 'walk' / '000007_labels.png').is_file()
    (tmp_path / 'no.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='no.mp4 cannot be read as a video'):
        open_source([str(tmp_path / 'no.mp4')])


def test_lists(photos, tmp_path, monkeypatch):
    path = tmp_path / 'list.txt'
    path.write_text(f'{photos}/a/01.png\n\n{photos}/b/deep/00.png\n{photos}/a/01.png\n'
                    f'{photos}/a/gone.png\n')
    found = find_pictures([path])
    assert [file.name for file in found] == ['a/01.png', 'b/deep/00.png', 'a/gone.png']
    near = photos / 'near.txt'
    near.write_text('a/01.png\nb/deep/00.png\n')
    try:
        assert [file.path for file in find_pictures([near])] == [
            photos / 'a/01.png', photos / 'b/deep/00.png']
    finally:
        near.unlink()
    path.write_text('nowhere.png\n')
    with pytest.raises(FileNotFoundError, match='nowhere.png .*folder or in that of'):
        find_pictures([path])
    path.write_text('\n')
    with pytest.raises(ValueError, match='a path on each line'):
        find_pictures([path])


def test_no_two_pictures_have_one_name(tmp_path):
    given = ['a.jpg', 'a.png', 'b.png', 'c/a.jpg', 'ä b.png']
    for name in given:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    stems = [file.stem for file in find_pictures([tmp_path])]
    assert stems == ['a.jpg', 'a.png', 'b', 'c/a', 'ä b']
    (tmp_path / 'a.jpg.png').touch()  # without its ending it would be a.jpg
    stems = [file.stem for file in find_pictures([tmp_path])]
    assert sorted(stems) == sorted([*given, 'a.jpg.png'])
    assert find_pictures([tmp_path])[1:3][0].name == 'a.jpg.png'


def test_run_is_told_of_progress(predictor, photos, tmp_path):
    told = []
    source = open_source([str(photos)])
    for _ in range(2):
        run.segment_all(predictor, source, tmp_path / 'out', VOCABULARY,
                        BulkOptions(workers=0), told.append)
        assert sum(told) == source.count(Share()) == 20
        told.clear()
