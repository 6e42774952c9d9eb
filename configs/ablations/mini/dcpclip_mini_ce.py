# Table 8: a softmax cross-entropy over the selected words beside the binary one.
_base_ = '../../dcpclip_mini_paper.py'
model = dict(
    decode_head=dict(loss_decode=[
        dict(type='SelectedBCELoss'),
        dict(type='SelectedCrossEntropyLoss', loss_weight=1.0)
    ]))
