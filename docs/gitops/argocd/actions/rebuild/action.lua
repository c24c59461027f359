-- Any new value of the annotation asks for another build of the same spec.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["slipway.dev/rebuild"] = os.date("!%Y-%m-%dT%XZ")
return obj
