# Table 8: that, and a second view shifted by half a patch.
_base_ = './dcpclip_vitb16_ce_refined.py'
model = dict(test_cfg=dict(tta='shift'))
