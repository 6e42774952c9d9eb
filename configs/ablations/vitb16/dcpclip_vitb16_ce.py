# Table 8: a softmax cross-entropy over the selected words beside the binary one, as in
# dcpclip_vitb16_coco.
_base_ = '../../dcpclip_vitb16_coco.py'
