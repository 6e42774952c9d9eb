# Table III, DCS + TGA: no decoder, no tag validation.
_base_ = './dcpclip_vitb16_decoder_0_layers.py'
model = dict(tag_validation=None)
