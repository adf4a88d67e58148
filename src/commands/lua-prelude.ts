/**
 * What runs once in every new Lua state: the sandbox, and the words of Lua 5.1 that Lua 5.3 has lost. In Lua, since most
 * of it is about Lua's own tables. It is given, in this order: the globals, the proxy that scripts see as `_G`,
 * `check` (raises again what must end the script), `missing` and `readonly` (raise Redis's errors).
 */
export const PRELUDE = `
local G, P, check, missing, readonly = ...
local rawpcall, rawxpcall, rawresume, rawwrap = pcall, xpcall, coroutine.resume, coroutine.wrap
local type, select, floor, ceil, rawtonumber, rawset_ = type, select, math.floor, math.ceil, tonumber, rawset
local setmetatable, getmetatable, pairs, rawload, error, next = setmetatable, getmetatable, pairs, load, error, next

-- pcall hands over the text of an error that redis.call has raised; what ends the script cannot be caught.
local function settle(ok, err, ...)
  if not ok then
    check()
    if type(err) == 'table' and err.err ~= nil then return false, err.err end
  end
  return ok, err, ...
end
function G.pcall(f, ...) return settle(rawpcall(f, ...)) end
function G.xpcall(f, handler, ...) return settle(rawxpcall(f, handler, ...)) end
function coroutine.resume(co, ...) return settle(rawresume(co, ...)) end
function coroutine.wrap(f)
  local co = coroutine.create(f)
  local function pass(ok, ...) if not ok then check() error((...), 0) end return ... end
  return function(...) return pass(rawresume(co, ...)) end
end

function G.tonumber(value, base)
  local number
  if base == nil then
    local hex = type(value) == 'string' and value:match('^%s*0[xX](%x%x%x%x%x%x%x%x+)%s*$')
    if hex then
      number = 0.0
      for digit in hex:gmatch('.') do number = number * 16.0 + rawtonumber(digit, 16) end
    else number = rawtonumber(value) end
  else number = rawtonumber(value, floor(base)) end
  return number and number + 0.0
end
math.floor = function(x) return floor(x) + 0.0 end
math.ceil = function(x) return ceil(x) + 0.0 end
math.pow = function(x, y) return x ^ y end
math.log10 = function(x) return math.log(x, 10) end
math.mod = math.fmod
math.ldexp = function(m, e) return m * 2.0 ^ e end
function math.frexp(x)
  if x == 0 or x ~= x or x == math.huge or x == -math.huge then return x, 0 end
  local e = 0
  local m = x < 0 and -x or x
  while m >= 1 do m = m / 2; e = e + 1 end
  while m < 0.5 do m = m * 2; e = e - 1 end
  return x < 0 and -m or m, e
end
math.sinh = function(x) return (math.exp(x) - math.exp(-x)) / 2 end
math.cosh = function(x) return (math.exp(x) + math.exp(-x)) / 2 end
math.tanh = function(x) local a, b = math.exp(x), math.exp(-x) return (a - b) / (a + b) end
for _, name in ipairs({ 'maxinteger', 'mininteger', 'tointeger', 'type', 'ult' }) do math[name] = nil end

G.unpack = table.unpack
table.getn = function(t) return #t end
function table.maxn(t)
  local most = 0
  for key in pairs(t) do if type(key) == 'number' and key > most then most = key end end
  return most
end
function table.foreach(t, f) for k, v in pairs(t) do local r = f(k, v) if r ~= nil then return r end end end
function table.foreachi(t, f) for i = 1, #t do local r = f(i, t[i]) if r ~= nil then return r end end end
table.unpack, table.pack, table.move = nil, nil, nil
string.gfind = string.gmatch
string.pack, string.unpack, string.packsize, string.dump = nil, nil, nil, nil

function G.load(chunk, name) return rawload(chunk, name or '=(load)', 't') end
function G.loadstring(chunk, name) return rawload(chunk, name or chunk, 't') end
function G.gcinfo() return 0 end
function G.collectgarbage() return 0 end
for _, name in ipairs({ 'dofile', 'loadfile', 'print', 'utf8', 'io', 'os', 'package', 'require', 'debug', 'fengari', '_VERSION' }) do G[name] = nil end
G._VERSION = 'Lua 5.1'

-- Scripts share the libraries: they see each through a proxy that refuses changes.
local real = {}
local function guard(t)
  local proxy = setmetatable({}, { __index = t, __newindex = readonly, __metatable = false, __pairs = function() return next, t, nil end })
  real[proxy] = t
  return proxy
end
for _, name in ipairs({ 'string', 'table', 'math', 'coroutine', 'redis', 'cjson', 'cmsgpack', 'bit', 'struct' }) do G[name] = guard(G[name]) end
getmetatable('').__metatable = false
function G.rawset(t, key, value)
  if t == P or real[t] then readonly() end
  return rawset_(t, key, value)
end
local rawget_ = rawget
function G.rawget(t, key) return rawget_(t == P and G or real[t] or t, key) end
G._G = P
setmetatable(G, { __index = missing })
setmetatable(P, { __index = G, __newindex = readonly, __metatable = false, __pairs = function() return next, G, nil end })
`;
