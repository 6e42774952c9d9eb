import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from mmseg_dcpclip.vocabulary import (
    LABEL_SETS,
    Vocabulary,
    make_palette,
    make_queries,
    pascal_context_val_ids,
    read_label_set,
)

TESTS = Path(__file__).parents[1]
SIZES = dict(
    coco_stuff_171=171,
    ade20k_150=150,
    ade20k_847=847,
    pascal_context_59=59,
    pascal_context_459=459,
    pascal_voc_20=20,
    pascal_voc_21=21,
    pascal_context_60=60,
    coco_object_81=81,
    cityscapes_19=19)
# Classes whose name equals a COCO-Stuff name, and those of a seen concept.
SEEN = dict(
    ade20k_150=(47, 63),
    ade20k_847=(82, 107),
    pascal_context_59=(35, 53),
    pascal_context_459=(71, 99),
    pascal_voc_20=(14, 20))


def test_words_and_synonyms():
    vocabulary = Vocabulary([' cat ', 'dog|puppy', ('polar  bear', 'white bear')])
    assert len(vocabulary) == 3
    assert list(vocabulary) == ['cat', 'dog', 'polar bear']
    assert vocabulary.names == ('cat', 'dog', 'polar bear')
    assert vocabulary.synonyms == (('cat', ), ('dog', 'puppy'),
                                   ('polar bear', 'white bear'))
    text = 'cat\ndog|puppy\npolar bear|white bear'
    assert vocabulary.digest == hashlib.sha256(text.encode()).hexdigest()
    assert set(vocabulary.metainfo) == {'classes', 'palette'}
    assert vocabulary.metainfo['classes'] == vocabulary.names


def test_equality_is_by_words_in_order():
    one = Vocabulary(['cat', 'dog'], name='one')
    same = Vocabulary(['cat', ['dog']], palette=[[1, 2, 3], [4, 5, 6]])
    assert one == same and hash(one) == hash(same)
    assert one != Vocabulary(['dog', 'cat'])
    assert one != Vocabulary(['cat', 'dog|puppy'])
    assert one != ['cat', 'dog']
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize('entries, message', [
    ([], 'empty vocabulary'),
    ('cat', 'needs a list'),
    (['cat', ' '], 'entry 1 .* blank name'),
    (['cat', 'dog|'], 'entry 1 .* blank name'),
    (['cat', []], 'entry 1 .* blank name'),
    (['cat', 3], 'entry 1 is 3'),
    (['cat', ['dog', None]], 'entry 1 is'),
    (['cat', ['dog|puppy']], "entry 1 .*cannot stand inside"),
    (['dog|dog'], 'entry 0 .* repeats a synonym'),
    (['cat', 'dog', ' cat'], "entry 2 repeats entry 0: 'cat'"),
    # what is one to CLIP
    (['plain blue', 'Plain  Blue'], "entry 1, 'Plain Blue', is the same to CLIP as "
                                    "entry 0, 'plain blue'"),
    (['dog|puppy', 'Puppy|dog'], 'is the same to CLIP'),
    (['caf\u00e9', 'cafe\u0301'], 'is the same to CLIP'),
    (['Dog|dog'], 'entry 0 .* repeats a synonym'),
])
def test_bad_entries_are_named(entries, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(entries)


@pytest.mark.parametrize('words, said', [
    ({'cat': 0, 'dog': 1}, "the dict {'cat': 0"), (3, 'the int 3'), (None, 'NoneType'),
    ({'cat'}, "the set {'cat'}"), (b'cat', "the bytes b'cat'"), (1.5, 'the float 1.5')])
def test_what_is_no_list_is_no_vocabulary(words, said):
    for make in (Vocabulary, Vocabulary.of):
        with pytest.raises(TypeError, match=said):
            make(words)


def test_commas_make_no_categories_and_it_is_said(tmp_path, recwarn):
    """Names with commas exist in ADE20K: a hint and no refusal."""
    path = tmp_path / 'words.txt'
    path.write_text('red, blue')
    for make in (lambda: Vocabulary.parse('red, blue'), lambda: Vocabulary.load(path),
                 lambda: Vocabulary(['red, blue'])):
        with pytest.warns(UserWarning, match="is one category.*Separate .* with ';'"):
            assert make().names == ('red, blue', )
    recwarn.clear()
    assert len(Vocabulary.parse('door, double door; wall')) == 2
    assert len(Vocabulary(['red|blue'])) == 1
    assert not recwarn


def test_telling_words_from_names():
    with pytest.raises(ValueError, match=r"given as a list, \['cat', 'dog'\]"):
        Vocabulary.of('red, blue')


@pytest.mark.parametrize('palette, message', [
    ([[1, 2, 3]], '1 colours for 2'),
    ([[1, 2, 3], [1, 2]], 'colour 1'),
    ([[1, 2, 256], [1, 2, 3]], 'colour 0'),
])
def test_bad_palettes_are_named(palette, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(['cat', 'dog'], palette=palette)


def test_shared_first_names_are_allowed():
    assert Vocabulary(['bag|purse', 'bag|sack']).names == ('bag', 'bag')
    names = Vocabulary.load('ade20k_847').names
    shared = [name for name in names if names.count(name) > 1]
    assert len(shared) == 19 and len(set(shared)) == 9


def test_palette_is_fixed_by_index_and_spread():
    palette = make_palette(5000)
    assert palette[:847] == make_palette(847)
    assert len({tuple(color) for color in palette}) == 5000
    colors = np.array(palette)
    assert colors.min() >= 32 and colors.max() <= 255
    assert pdist(colors[:20]).min() > 50
    assert pdist(colors[:847]).min() > 12


@pytest.mark.parametrize('name', LABEL_SETS)
def test_label_sets(name):
    vocabulary = Vocabulary.load(name)
    assert len(vocabulary) == SIZES[name] and vocabulary.name == name
    source_ids = read_label_set(name)['source_ids']
    assert len(set(source_ids)) == len(vocabulary)


def test_label_set_facts():
    coco = Vocabulary.load('coco_stuff_171')
    assert coco.names[0] == 'person' and coco.names[170] == 'wood'
    assert read_label_set('coco_stuff_171')['source_ids'][170] == 181
    tv = Vocabulary.load('ade20k_150').synonyms[89]
    assert tv[:2] == ('television receiver', 'television')
    ade = read_label_set('ade20k_847')
    assert ade['entries'][1] == 'building|edifice'
    assert ade['source_ids'][:3] == [2978, 312, 2420]
    assert max(ade['source_ids']) == 3156
    assert len(read_label_set('pascal_context_459')['absent_from_val']) == 114
    ids = pascal_context_val_ids()
    assert len(set(ids)) == 5104
    assert (ids[0], ids[-1]) == ('2008_000002', '2010_006086')


def test_name_variants():
    default = Vocabulary.load('pascal_context_459')
    spaced = Vocabulary.load('pascal_context_459', names='spaced')
    assert default.names[2] == 'airconditioner'
    assert spaced.names[2] == 'air conditioner'
    differing = sum(a != b for a, b in zip(default, spaced, strict=True))
    assert differing == 94
    # COCO-Stuff has one wording only, written with blanks.
    coco = Vocabulary.load('coco_stuff_171')
    assert Vocabulary.load('coco_stuff_171', names='spaced') == coco
    assert Vocabulary.load('ade20k_150', names='detectron2').names[8] == 'window'
    assert Vocabulary.load('pascal_context_59', names='mmseg').names[49] == 'table'
    with pytest.raises(ValueError, match="no wording 'mmseg'.*default, spaced"):
        Vocabulary.load('ade20k_847', names='mmseg')


@pytest.mark.parametrize('name', SEEN)
def test_seen_against_coco_stuff(name):
    coco = Vocabulary.load('coco_stuff_171')
    vocabulary = Vocabulary.load(name)
    by_name = vocabulary.seen(coco)
    by_concept = vocabulary.seen(coco, match='concept')
    assert by_name.dtype == bool and by_name.shape == (len(vocabulary), )
    assert (by_name.sum(), by_concept.sum()) == SEEN[name]
    assert not (by_name & ~by_concept).any()
    curated = json.loads((TESTS / 'data' / 'seen_concept.json').read_text())
    assert np.flatnonzero(by_concept).tolist() == curated[name]


def test_seen_against_other_lists():
    trained = Vocabulary(['Cat', 'wall-brick', 'tables', 'sofa'])
    vocabulary = Vocabulary(['cat', 'brick wall', 'table', 'couch', 'lamp'])
    assert vocabulary.seen(trained).tolist() == [True] + [False] * 4
    assert vocabulary.seen(trained, 'concept').tolist() == [True] * 4 + [False]
    with pytest.raises(ValueError, match="'name' or 'concept'"):
        vocabulary.seen(trained, match='synonym')


def test_parse():
    vocabulary = Vocabulary.parse(
        'red stripes on blue; white dots on green|polka dots\ncafé;')
    assert vocabulary.names == ('red stripes on blue', 'white dots on green', 'café')
    assert vocabulary.synonyms[1] == ('white dots on green', 'polka dots')
    with pytest.raises(ValueError, match='empty vocabulary'):
        Vocabulary.parse(' ; ')


def test_class_files(tmp_path):
    expected = Vocabulary(['cat', 'dog|puppy', '猫科|café'])
    forms = {
        'a.txt': 'cat\ndog|puppy\n猫科|café\n\n',
        'b.csv': 'id,name,synonyms\n0,cat,Cat\n1,dog,dog|puppy\n2,猫科,café\n',
        'c.json': json.dumps(['cat', ['dog', 'puppy'], '猫科|café']),
        'd.json': json.dumps(dict(classes=['cat', 'dog|puppy', '猫科|café'],
                                  palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]],
                                  name='mine')),
    }
    for filename, text in forms.items():
        path = tmp_path / filename
        # A byte order mark, as Windows editors write it, is no part of a name.
        path.write_text('\ufeff' + text, encoding='utf-8')
        assert Vocabulary.load(path) == expected, filename
        assert Vocabulary.load(str(path)).origin == str(path)
    mine = Vocabulary.load(tmp_path / 'd.json')
    assert mine.name == 'mine' and mine.palette[2] == [7, 8, 9]


@pytest.mark.parametrize('filename, content, message', [
    ('a.txt', b'cat\n\ndog\n', r'a\.txt: entry 1 .*blank name'),
    ('a.txt', b'cat\ndog\ncat\n', r'a\.txt: entry 2 repeats entry 0'),
    ('a.txt', b'', 'empty vocabulary'),
    ('a.txt', 'café'.encode('latin-1'), 'not UTF-8 text'),
    ('a.csv', b'cat\ndog\n', "no column 'name'"),
    ('a.json', b'{"cat": 1}', "list 'classes'"),
    ('a.json', b'[', 'not valid JSON'),
    ('a.xls', b'cat', 'rename or convert'),
])
def test_bad_class_files(tmp_path, filename, content, message):
    path = tmp_path / filename
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(path)


def test_unknown_sources(tmp_path):
    with pytest.raises(ValueError, match='ade20k_846.*ade20k_847'):
        Vocabulary.load('ade20k_846')
    with pytest.raises(FileNotFoundError, match='no class file'):
        Vocabulary.load(tmp_path / 'none.txt')
    (tmp_path / 'a.txt').write_text('cat')
    with pytest.raises(ValueError, match='package label sets only'):
        Vocabulary.load(tmp_path / 'a.txt', names='spaced')


def test_of_takes_what_stands_for_a_vocabulary(tmp_path):
    words = Vocabulary(['cat', 'dog|puppy'])
    assert Vocabulary.of(words) is words
    assert Vocabulary.of(['cat', 'dog|puppy']) == words
    assert Vocabulary.of('pascal_voc_20') == Vocabulary.load('pascal_voc_20')
    path = tmp_path / 'words.txt'
    path.write_text('cat\ndog|puppy\n')
    assert Vocabulary.of(str(path)) == Vocabulary.of(path) == words
    assert Vocabulary.of(name for name in ('cat', 'dog|puppy')) == words


def test_the_background_belongs_to_the_words(tmp_path):
    plain = Vocabulary(['background', 'cat'])
    ruled = Vocabulary(['background', 'cat'], background=dict(words=['sky'], id=0))
    assert plain.background is None and ruled.background.id == 0
    assert ruled != plain and ruled.words_digest == plain.words_digest == plain.digest
    assert len({plain, ruled, Vocabulary(['background', 'cat'],
                                         background=dict(words=['sky'], id=0)),
                Vocabulary(['background', 'cat'], background=0.1)}) == 3
    path = tmp_path / 'words.json'
    path.write_text('{"classes": ["background", "cat"], '
                    '"background": {"words": ["sky"], "id": 0}}')
    assert Vocabulary.load(path) == ruled
    with pytest.raises(ValueError, match='only 2 categories'):
        Vocabulary(['background', 'cat'], background=dict(threshold=0.1, id=2))


@pytest.mark.parametrize('name', ['pascal_voc_21', 'pascal_context_60',
                                  'coco_object_81'])
def test_label_sets_with_a_background(name):
    for names in ('default', *read_label_set(name)['variants']):
        words = Vocabulary.load(name, names=names)
        rule = words.background
        assert (rule.threshold, rule.id) == (0.1, 0) and words.names[0] == 'background'
        queries = make_queries(words, 'max', rule, 0)
        own = [queries.synonyms[i][0] for i, owner in enumerate(queries.owner)
               if owner == 0]
        # COCO-Object has a class of its own for the beds
        assert own == [word for word in rule.words
                       if name != 'coco_object_81' or word != 'bed']
        assert len(own) == dict(pascal_voc_21=26, pascal_context_60=1,
                                coco_object_81=25)[name]


def test_of_equal_vocabularies_either_may_go_first():
    for kept in (0, 1):
        both = [Vocabulary(['kept', 'alive']), Vocabulary(['kept', 'alive'])]
        own = both[kept]
        both.clear()
        assert Vocabulary.alive(own.digest) is own
        del own
