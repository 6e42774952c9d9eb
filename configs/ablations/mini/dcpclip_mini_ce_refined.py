# Table 8: the cross-entropy, and maps that follow the picture (PAMR): the default.
_base_ = '../../dcpclip_mini.py'
