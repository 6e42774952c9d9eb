# Table III, DCS + TGA: no decoder, no tag validation.
_base_ = './decoder_0_layers.py'
custom_hooks = [dict(type='VocabularyHook')]
