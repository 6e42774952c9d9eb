"""Background rules and what a picture is asked for."""

import pytest

from mmseg_dcpclip.vocabulary import Background, Vocabulary, make_queries

WORDS = Vocabulary(['cat', 'dog|puppy', 'grass'])


@pytest.mark.parametrize('value, words, threshold', [
    (0.3, (), 0.3), (['sky', 'wall'], ('sky', 'wall'), None),
    ('0.3; sky; wall', ('sky', 'wall'), 0.3), ('sky', ('sky', ), None),
    (dict(words=['sky'], threshold=0, id='ignore'), ('sky', ), 0)])
def test_ways_to_say_background(value, words, threshold):
    rule = Background.of(value)
    assert (rule.words, rule.threshold) == (words, threshold)
    assert Background.of(rule) is rule


def test_a_comma_separates_no_background_words():
    with pytest.warns(UserWarning, match="'sky, wall' .background. is one category"):
        assert Background.of('sky, wall').words == ('sky, wall', )


def test_no_background():
    assert Background.of(None) is None and Background.of(' None') is None


@pytest.mark.parametrize('value, match', [
    (1.5, r'\[0, 1\]'), (-0.1, r'\[0, 1\]'), ('2; sky', r'\[0, 1\]'),
    ([], 'words or a threshold'), ('', 'words or a threshold'),
    ([0.1, 0.2], 'one threshold'), (dict(word=['sky']), 'no word'),
    (dict(words='sky'), 'list of words'), (dict(threshold=0.1, id='x'), 'id'),
    (True, r'\[0, 1\]')])
def test_what_is_refused(value, match):
    with pytest.raises(ValueError, match=match):
        Background.of(value)


def test_ids():
    assert Background.of(0.1).id_in(3, 255) == 3
    ignore = Background.of(dict(threshold=0.1, id='ignore'))
    assert ignore.id_in(3, 255) == 255
    with pytest.raises(ValueError, match='one of the 3'):
        ignore.id_in(3, 2)
    with pytest.raises(ValueError, match='only 3'):
        Background.of(dict(threshold=0.1, id=3)).id_in(3, 255)


def test_the_vocabulary_itself_where_nothing_is_asked_besides():
    assert make_queries(WORDS) is WORDS
    assert make_queries(WORDS, 'mean', Background.of(0.1), 3) is WORDS
    single = Vocabulary(['cat', 'dog'])
    assert make_queries(single, 'max') is single


def test_synonyms_and_background_words_are_queries():
    found = make_queries(WORDS, 'max', Background.of(['sky']), 3)
    assert found.synonyms == (('cat', ), ('dog', ), ('puppy', ), ('grass', ),
                              ('sky', ))
    assert found.owners.tolist() == [0, 1, 1, 2, 3]
    found = make_queries(WORDS, 'mean', Background.of(['sky']), 3)
    assert found.synonyms[1] == ('dog', 'puppy') and len(found) == 4


def test_background_words_that_are_also_categories():
    found = make_queries(WORDS, 'mean', Background.of(['Puppy', 'sky']), 3)
    assert found.synonyms[3:] == (('sky', ), )
    with pytest.raises(ValueError, match='also categories'):
        make_queries(WORDS, 'mean', Background.of(['Puppy']), 3)
    assert len(make_queries(WORDS, 'mean', Background.of([0.1, 'Puppy']), 3)) == 3


def test_a_category_that_is_the_none_class():
    rule = Background.of(dict(words=['sky', 'wall'], id=0))
    found = make_queries(WORDS, 'mean', rule, 0)
    assert found.synonyms == (('dog', 'puppy'), ('grass', ), ('sky', ), ('wall', ))
    assert found.owners.tolist() == [1, 2, 0, 0]
