-- What can be done with an ImageBuild in Argo CD's interface.
local suspended = obj.spec ~= nil and obj.spec.suspend == true
local actions = {}
actions["rebuild"] = { ["disabled"] = suspended, ["iconClass"] = "fa fa-fw fa-redo" }
actions["suspend"] = { ["disabled"] = suspended, ["iconClass"] = "fa fa-fw fa-pause" }
actions["resume"] = { ["disabled"] = not suspended, ["iconClass"] = "fa fa-fw fa-play" }
return actions
