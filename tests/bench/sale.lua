-- wrk's side of a contender. The environment says what to send:
--   BENCH_SELLERS  a file with a line for each seller: host, token (or cookie: and the key of a session, for pages)
--   BENCH_METHOD, BENCH_PATH
--   BENCH_AMOUNT   Tomans of each sale
--   BENCH_ITEMS    0: one sale a request; n: a bulk call of n
local sellers, threads = {}, {}
for line in io.lines(os.getenv("BENCH_SELLERS")) do
    local host, token = line:match("(%S+)%s+(%S+)")
    sellers[#sellers + 1] = {host = host, token = token}
end
local method, path = os.getenv("BENCH_METHOD"), os.getenv("BENCH_PATH")
local amount, items = os.getenv("BENCH_AMOUNT"), tonumber(os.getenv("BENCH_ITEMS"))

function setup(thread)
    threads[#threads + 1] = thread
    thread:set("number", #threads)
end

function init()
    math.randomseed(os.time() + number * 7919)
    prefix = string.format("%x-%x-", number, math.random(0, 2 ^ 31 - 1)) .. os.getenv("BENCH_RUN") .. "-"
    count, ok, refused, other, sold = 0, 0, 0, 0, 0
end

-- Random, as most clients' keys and customers are: a new one belongs anywhere in its index.
local function key(number)
    return string.format("%08x", math.random(0, 2 ^ 32 - 1)) .. prefix .. number
end

local function sale()
    return string.format('"phone_number":"0912%07d","amount":%s', math.random(0, 9999999), amount)
end

function request()
    count = count + 1
    local seller = sellers[(count * 7 + number) % #sellers + 1]
    local headers = {["Host"] = seller.host, ["Accept"] = "*/*"}
    local session = seller.token:match("^cookie:(.+)")
    if session then headers["Cookie"], headers["Accept"] = "sessionid=" .. session, "text/html"
    else headers["Authorization"] = "Bearer " .. seller.token end
    if method == "GET" then return wrk.format(method, path, headers) end
    headers["Content-Type"] = "application/json"
    if items > 0 then
        local list = {}
        for i = 1, items do
            list[i] = '{"idempotency_key":"' .. key(count .. "-" .. i) .. '",' .. sale() .. "}"
        end
        return wrk.format(method, path, headers, '{"items":[' .. table.concat(list, ",") .. "]}")
    end
    headers["Idempotency-Key"] = key(count)
    return wrk.format(method, path, headers, "{" .. sale() .. "}")
end

function response(status, _, body)
    if status < 300 and method == "POST" then
        sold = sold + (items > 0 and tonumber(body:match('"created":(%d+)')) or 1)
    end
    if status < 300 then ok = ok + 1 elseif status == 402 then refused = refused + 1 else other = status end
end

function done(summary, latency)
    local ok, refused, other, sold = 0, 0, 0, 0
    for _, thread in ipairs(threads) do
        ok, refused = ok + thread:get("ok"), refused + thread:get("refused")
        other, sold = math.max(other, thread:get("other")), sold + thread:get("sold")
    end
    io.write(string.format(
        '\nBENCH {"requests":%d,"seconds":%.6f,"p50":%.3f,"p95":%.3f,"p99":%.3f,"errors":%d,"ok":%d,"refused":%d,"other":%d,"sold":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
        latency:percentile(99) / 1e3, summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.timeout, ok, refused, other, sold))
end
