# Table 8: the cross-entropy with weight 3.0.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(
    decode_head=dict(loss_decode=[
        dict(type='SelectedBCELoss'),
        dict(type='SelectedCrossEntropyLoss', loss_weight=3.0)
    ]))
