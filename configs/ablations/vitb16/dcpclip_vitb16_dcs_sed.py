# Table III, DCS + SED: the cost conv is all of the alignment, no tag validation.
_base_ = './dcpclip_vitb16_tga_none.py'
model = dict(tag_validation=None)
