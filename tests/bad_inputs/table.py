"""Bad inputs, each with the message it must give.

A row is (what is given, the error's type, a pattern of its message). Names of files
stand for those that ``test_bad_inputs.py`` writes.
"""

import numpy as np

V, F, T = ValueError, FileNotFoundError, TypeError

PICTURES = [
    ('gone.png', F, 'no such picture: gone.png'),
    ('folder', F, 'no such picture: folder'),
    ('empty.png', V, 'empty.png cannot be read as a picture'),
    ('text.png', V, 'text.png cannot be read as a picture'),
    ('torn.png', V, 'torn.png cannot be read as a picture'),
    ('zeros.jpg', V, 'zeros.jpg cannot be read as a picture'),
    (3, T, 'got int'), (None, T, 'got NoneType'), (b'abc', T, 'got bytes'),
    ({'img': 1}, T, 'got dict'),
    (np.zeros((2, 2, 2), np.uint8), V, r'got \(2, 2, 2\)'),
    (np.zeros((2, 2, 5), np.uint8), V, r'got \(2, 2, 5\)'),
    (np.zeros(4, np.uint8), V, r'got \(4,'),
    (np.zeros((1, 2, 2, 3), np.uint8), V, r'got \(1, 2, 2, 3\)'),
    (np.zeros((0, 4, 3), np.uint8), V, 'with pixels'),
    (np.zeros((4, 0), np.uint8), V, 'with pixels'),
    (np.full((2, 2), 255.0), V, r'0\.\.1, got 255'),
    (np.full((2, 2), -0.1), V, r'0\.\.1, got -0.1'),
    (np.full((2, 2), np.nan), V, r'0\.\.1, got nan'),
    (np.full((2, 2), np.inf), V, r'0\.\.1, got inf'),
    (np.zeros((2, 2), np.int64), V, 'got int64'),
    (np.zeros((2, 2), bool), V, 'got bool'),
    (np.zeros((2, 2), complex), V, 'got complex128'),
    (np.array([['a']]), V, 'got <U1'),
]
WORDS = [
    ([], V, 'empty vocabulary'), ('', V, 'neither a label set'),
    ('red, blue', V, 'given as a list'), ('ade20k_846', V, 'ade20k_847'),
    ('words.xls', V, 'rename or convert'), ('gone.txt', F, 'no class file at gone.txt'),
    (['cat', ''], V, 'entry 1 .*blank'), (['cat', '\t'], V, 'entry 1 .*blank'),
    (['cat', None], V, 'entry 1 is None'), (['cat', 3], V, 'entry 1 is 3'),
    (['cat', b'dog'], V, "entry 1 is b'dog'"), (['cat', []], V, 'entry 1 .*blank'),
    (['cat', {'dog': 1}], V, 'entry 1 is .*list of synonyms'),
    (['cat', 'dog|'], V, 'entry 1 .*blank'), (['|'], V, 'entry 0 .*blank'),
    (['cat|cat'], V, 'repeats a synonym'), (['cat|CAT'], V, 'repeats a synonym'),
    ([['a|b']], V, 'cannot stand inside'),
    (['cat', 'dog', 'cat'], V, 'entry 2 repeats entry 0'),
    (['cat', ' cat '], V, 'entry 1 repeats entry 0'),
    (['plain blue', 'Plain Blue'], V, 'same to CLIP as entry 0'),
    (['a|b', 'b|a'], V, 'same to CLIP as entry 0'),
    ({'cat': 0}, T, 'the dict'), ({'cat'}, T, 'the set'), (7, T, 'the int 7'),
    (0.5, T, 'the float'), (b'cat', T, 'the bytes'), (True, T, 'the bool'),
]
CLASS_FILES = [
    ('a.txt', b'', 'empty vocabulary'), ('a.txt', b'\n\n', 'empty vocabulary'),
    ('a.txt', b'cat\n\ndog', 'entry 1 .*blank'),
    ('a.txt', b'cat\nCat', 'same to CLIP'), ('a.txt', b'cat\ncat', 'repeats entry 0'),
    ('a.txt', b'caf\xe9', 'not UTF-8'), ('a.txt', b'\xff\xfec\0', 'not UTF-8'),
    ('a.csv', b'', "no column 'name'"), ('a.csv', b'cat\ndog', "no column 'name'"),
    ('a.csv', b'name\n', 'empty vocabulary'),
    ('a.csv', b'id,name\n0,cat\n1,\n', 'entry 1 .*blank'),
    ('a.csv', b'id,name\n0\n', 'entry 0 .*blank'),
    ('a.json', b'', 'not valid JSON'), ('a.json', b'[', 'not valid JSON'),
    ('a.json', b'3', "list 'classes'"), ('a.json', b'{}', "list 'classes'"),
    ('a.json', b'{"classes": "cat"}', "list 'classes'"),
    ('a.json', b'[]', 'empty vocabulary'), ('a.json', b'[1]', 'entry 0 is 1'),
    ('a.json', b'[null]', 'entry 0 is None'),
    ('a.json', b'{"classes": ["a", "b"], "palette": [[0, 0, 0]]}', '1 colours for 2'),
    ('a.json', b'{"classes": ["a"], "palette": [[0, 0, 256]]}', 'colour 0'),
    ('a.json', b'{"classes": ["a"], "palette": [[0, 0]]}', 'colour 0'),
    ('a.yaml', b'- cat', 'rename or convert'),
]
# An array that is written as PNG or the file's content, and the classes there are.
LABELS = [
    (b'', 9, 'cannot decode the label label.png'),
    (b'text', 9, 'cannot decode the label label.png'),
    (np.zeros((4, 4, 3), np.uint8), 9, 'label.png is an image of mode RGB'),
    (np.zeros((4, 4, 4), np.uint8), 9, 'label.png is an image of mode RGBA'),
    (np.full((4, 4), 9, np.uint8), 9, 'label id 9 in label.png is outside'),
    (np.full((4, 4), 254, np.uint8), 150, 'label id 254 .*0..149'),
    (np.full((4, 4), 65535, np.uint16), 847, 'label id 65535 .*ignore index 255'),
    (np.zeros((4, 5), np.uint8), 9, r'label.png is \(4, 5\), its image'),
]
# Labels of a folder of one's own: values, class names, what `data check` says of them.
LABEL_VALUES = [
    ([0, 255], 'rest crack', "only 0 and 255.*'crack', has no pixel.*color_masks"),
    ([1, 2, 3], 'a b c', 'seem to count from 1.*reduce_zero_label=True'),
    ([1, 2, 3, 255], 'a b c', 'seem to count from 1: their highest value is 3'),
    ([0, 1, 7, 9], 'a b', r'values 7, 9 are neither a class \(0..1\).*index 255'),
    ([0, 2, 254], 'a b', r'values 2, 254 are neither.*label.*such as'),
    ([255, 255], 'a b c', 'no pixel has a class'),
]
# What happens to a folder of one's own (see ``harms``), and what `data check` says.
FOLDERS = [
    ('one picture is turned', r'0.png is \(32, 40\), its picture .*\(40, 32\).*orient'),
    ('one picture is empty', '0.jpg cannot be read as a picture: the file is empty'),
    ('one picture is torn', '0.jpg cannot be read as a picture'),
    ('one label is RGB', '0.png is an image of mode RGB.*color_masks'),
    ('one label is torn', 'cannot decode the label .*0.png'),
    ('one label is smaller', r'0.png is \(9, 9\), its picture'),
    ('one label is gone', '1 of 4 pictures have no label, such as .*0.jpg'),
    ('one label is .PNG', '0.PNG is there: labels end with .png, see seg_map_suffix'),
    ('one label is alone', '1 labels belong to no picture, such as .*alone.png'),
    ('two pictures, one name', '0.jpg and 0.png would have the same label'),
    ('no pictures', 'not found: .*images/train'),
    ('no classes', 'no class file'),
]
# A transform that puts labels together or fills them, where 255 is a class.
FILLS = [
    (dict(type='RandomRotate', prob=1.0, degree=9), "RandomRotate takes 255.*'k255'"),
    (dict(type='Pad', size=(64, 64)), "Pad takes 255 .*'k255': set .*seg=65535"),
    (dict(type='RandomRotate', prob=1.0, degree=9, seg_pad_val=7),
     "takes 7 .*'k7': set seg_pad_val=65535"),
    (dict(type='RandomCutOut', prob=1.0, n_holes=1, cutout_shape=(4, 4), seg_fill_in=0),
     "takes 0 .*'k0': set seg_fill_in=65535"),
    (dict(type='RandomCrop', crop_size=(8, 8), cat_max_ratio=0.5),
     "RandomCrop takes 255 .*'k255': set ignore_index=65535"),
    (dict(type='RandomRotFlip', rotate_prob=1.0), 'RandomRotFlip mixes class ids'),
    (dict(type='LoadAnnotations'), 'LoadAnnotations cuts ids to 8 bits'),
]
# Tables of colours for masks (the file, its text, the message), and masks themselves.
COLOR_TABLES = [
    ('c.csv', '', 'names no class'), ('c.csv', 'name,r,g,b', 'names no class'),
    ('c.csv', 'ignore,0,0,0', 'names no class'),
    ('c.csv', 'a,1,2\nb,1,2,3,4', 'line 2: expected a name and three numbers'),
    ('c.csv', 'name,r,g,b\na,1,2,256', 'line 2.*0..255'),
    ('c.csv', 'a,1,2,3\nb,1,2,3', "line 2: the colour .*'a' already"),
    ('c.json', '{', 'cannot be read as a table of colours'),
    ('c.json', '[["a", 1, 2]]', 'entry 0: expected a name and three numbers'),
    ('c.csv', 'a,1,2,3', r'p.png.*colour.*90, 90, 90'),
    (None, '', 'c.csv'),
]
# What happens to an entry of the text bank, what is said of it before it is made anew.
BANKS = [
    ('templates.bin', b'', 'templates.bin has 0 bytes instead of'),
    ('templates.bin', None, 'cannot be read.*templates.bin'),
    ('mean.bin', b'', 'mean.bin is not what meta.json says'),
    ('mean.bin', None, 'cannot be read.*mean.bin'),
    ('meta.json', b'{"format', 'meta.json is broken'),
    ('meta.json', b'[]', 'meta.json is broken: no fields'),
    ('meta.json', b'{}', 'its meta.json has other format'),
    ('meta.json', None, 'cannot be read.*meta.json'),
]
# The file's content, or None for no file at all.
CONFIGS = [
    (None, 'no such config: .*config.py'), ('', 'has no model'),
    ('model = dict(', 'config.py.*SyntaxError'), ('x = y', 'NameError.*correct'),
    ('_base_ = "gone.py"', 'cannot be read.*gone.py'),
    ('model = dict(a=1', 'config.py.*correct the file'),
    ('raise ValueError("mine")', 'mine.*correct the file'),
    ('1 / 0', 'ZeroDivisionError'),
    ('model = None', 'has no model'),
    ('model = dict(type="NoSuch")\ntest_pipeline = []', 'NoSuch.*custom_imports'),
    ('model = dict(type="DCPCLIP")\n', 'no test_pipeline'),
    ('custom_imports = dict(imports=["no_such"], allow_failed_imports=False)\n'
     'model = dict(a=1)', 'no_such'),
]
OPTIONS = [
    ('model.selection.theta=x', 1, 'theta'), ('model.selection.theta=2', 1, 'theta'),
    ('model.selection.thetta=0.5', 1, "no argument 'thetta'.*did you mean 'theta'"),
    ('modle.selection.theta=0.5', 1, "no 'modle'; did you mean 'model'"),
    ('nothing_like_it=1', 1, "no 'nothing_like_it'; check its spelling"),
    ('model.type.x=1', 1, "model.type is 'DCPCLIP' in the config"),
    ('model.selection.form=no', 1, "form must be one of paper, union"),
    ('model.test_cfg.mode=no', 1, "mode='whole'"),
    ('model.test_cfg.mod=whole', 1, "did you mean 'mode'"),
    ('model.test_cfg.max_maps=0', 1, 'max_maps must be at least 1'),
    ('test_pipeline.9.type=X', 1, 'not in a list of'),
    ('test_pipeline.5.type=X', 1, '.5 is not in a list of 5; count from 0'),
    ('test_pipeline.2.max_side=0', 1, 'max_side must be 1 pixel or more'),
    ('test_pipeline.2.max_sid=9', 1, "did you mean 'max_side'"),
    ('model.backbone.type=NoSuch', 1, 'NoSuch'),
    ('model.vocabulary=no_such', 1, "'no_such' is neither a label set"),
    ('word', 2, 'expected KEY=VALUE, got word'),
    ('model.x=[1,2', 2, 'expected KEY=VALUE'),
]
CHECKPOINTS = [
    (None, 'no such checkpoint'), (b'', 'w.pth is empty: copy or download'),
    (b'text', 'w.pth holds no weights'), (b'PK\3\4', 'w.pth is damaged or cut short'),
    (b'\x80\2', 'w.pth is damaged or cut short'),
]
# What other commands are given, the exit status, the last line of stderr.
COMMANDS = [
    ('nothing', 2, 'invalid choice'), ('segment', 2, 'required'),
    ('segment p.png --words a --vocabulary b', 2, 'not allowed with'),
    ('segment p.png --no-such', 2, 'unrecognized'),
    ('segment empty_folder --words a', 1, 'no picture in empty_folder'),
    ('segment gone.png --words a', 1, 'no such picture: gone.png'),
    ('segment p.png --words a --out p.png', 1, 'p.png.*it is a file: name a folder'),
    ('segment p.png --words a --out p.png/x', 1, 'it is a file: name a folder'),
    ('segment p.png --words a', 1, 'run `dcpclip demo` first'),
    ('train gone.py', 1, 'no such config: gone.py'),
    ('train empty.py', 1, 'empty.py has no model'),
    ('test gone.py none', 1, 'no such config'),
    ('test empty.py gone.pth', 1, 'no such checkpoint: gone.pth'),
    ('test empty.py none --out p.png', 1, 'p.png.*name a folder'),
    ('test empty.py none --data-root a=b', 1, 'belongs to --benchmarks'),
    ('test empty.py none --data-root ab', 2, 'expected NAME=FOLDER, got ab'),
    ('test empty.py none --data-root =b', 2, 'expected NAME=FOLDER'),
    ('encode empty.py', 1, 'has no model'),
    ('encode MINI none --bank p.png', 1, 'p.png'),
    ('encode MINI none --vocabulary gone.txt', 1, 'no class file at gone.txt'),
    ('encode MINI none --vocabulary no_such', 1, "'no_such' is neither"),
    ('encode MINI gone.pth', 1, 'no such checkpoint: gone.pth'),
    ('measure selection gone.py none', 1, 'no such config'),
    ('measure selection gone.py none --json folder', 1, 'folder.*name a file'),
    ('measure selection gone.py none --theta x', 2, 'not a number from 0 to 1'),
    ('measure tags gone.py none --top-k 0', 2, 'whole number from 1 on'),
    ('data check no_such', 2, 'no dataset named no_such'),
    ('figures fig6 --out folder', 1, 'folder.*name a file'),
    ('demo --out p.png', 1, 'p.png.*name a folder'),
    ('pretrain --out folder', 1, 'folder.*name a file'),
    ('reproduce table9', 2, 'invalid choice'),
    ('benchmark --config gone.py', 2, 'no such config: gone.py'),
    ('segment p.png --words a --device cud', 1, "device 'cud' cannot be used here"),
    ('segment p.png --words a --device cuda:99', 1, "'cuda:99' .*there are: cpu"),
    ('segment p.png --words a --device meta', 1, "device 'meta' holds no values"),
    ('encode MINI none --device cud', 1, "device 'cud' cannot be used here"),
    ('measure selection MINI none --device cuda:99', 1, "'cuda:99' cannot be used"),
    ('figures fig6 --device cud', 1, "device 'cud' cannot be used here"),
    ('pretrain --out w.pth --device cuda:99', 1, "'cuda:99' cannot be used"),
    ('benchmark --device cuda:99', 1, "'cuda:99' cannot be used"),
]
