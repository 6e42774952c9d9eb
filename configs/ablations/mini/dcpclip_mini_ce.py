# Table 8: a softmax cross-entropy over the selected words beside the binary one, as in
# dcpclip_mini.
_base_ = '../../dcpclip_mini.py'
