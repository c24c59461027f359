// Runs Lua as Argo CD does: the same interpreter with the same few libraries.
module slipway.dev/parts/lua

go 1.26.0

require github.com/yuin/gopher-lua v1.1.1
