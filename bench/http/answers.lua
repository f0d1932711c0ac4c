-- wrk's script: what is asked, and what came of it as one line of JSON. Arguments: headers (one | browser), what differs from
-- request to request (nothing | target | all: a header, too), how many requests are sent at once.
local browser = {
  ["Host"] = "127.0.0.1:8080",
  ["Connection"] = "keep-alive",
  ["Cache-Control"] = "max-age=0",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8",
  ["Upgrade-Insecure-Requests"] = "1",
  ["Sec-Fetch-Dest"] = "document",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Sec-Fetch-Site"] = "none",
  ["Cookie"] = "theme=dark; sid=5f0c1d6a2b7e4c9f8a3d",
}

local made, at

function init(args)
  local headers, differs, batch = args[1], args[2], tonumber(args[3])
  wrk.headers = headers == "browser" and browser or { ["Host"] = "127.0.0.1:8080" }
  made, at = {}, 0
  -- What differs is made beforehand, so that wrk is no slower than otherwise: 8,192 requests.
  for i = 1, differs == "nothing" and 1 or 8192 do
    if differs == "all" then
      wrk.headers["Cookie"] = string.format("theme=dark; sid=%020x", i * 2654435761)
    end
    local path = differs ~= "nothing" and string.format("/items/%d?page=%d&q=%x", i * 7919 % 1000003, i % 97, i * 2654435761 % 4294967296) or "/"
    local one = wrk.format("GET", path)
    made[i] = batch > 1 and string.rep(one, batch) or one
  end
end

function request()
  at = at % #made + 1
  return made[at]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"duration_us":%d,"errors":%d,"p50_us":%.1f,"p90_us":%.1f,"p99_us":%.1f,"p999_us":%.1f}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)))
end
