# DCP-CLIP on the small drawn world with the paper's loss alone.
_base_ = './dcpclip_mini.py'
model = dict(decode_head=dict(loss_decode=dict(_delete_=True, type='SelectedBCELoss')))
