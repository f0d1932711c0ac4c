(* The seed's server, written anew: every request is answered with the time as JSON. What the seed's unikernel did on the
   same HTTP library (cohttp) over sockets: the answer's bytes are those that the seed gave, and each request is logged with the
   number of its connection. Usage: seed PORT LEVEL, where LEVEL is info or error. *)

open Cohttp_lwt_unix

let src = Logs.Src.create "http"

module Log = (val Logs.src_log src : Logs.LOG)

let reporter () =
  let report src level ~over k msgf =
    let k _ = over (); k () in
    msgf @@ fun ?header:_ ?tags:_ fmt ->
    let level = match level with
      | Logs.App -> "APP" | Logs.Error -> "ERR" | Logs.Warning -> "WRN" | Logs.Info -> "INF" | Logs.Debug -> "DBG" in
    Format.kfprintf k Format.err_formatter
      ("%a: %s [%s] @[" ^^ fmt ^^ "@]@.")
      (Ptime.pp_human ~tz_offset_s:0 ()) (Ptime_clock.now ()) level (Logs.Src.name src)
  in
  { Logs.report }

let time_as_json () =
  Format.asprintf "{ \"time\": \"%a\" }" (Ptime.pp_human ()) (Ptime_clock.now ())

let () =
  let port = int_of_string Sys.argv.(1) in
  Logs.set_reporter (reporter ());
  Logs.set_level (match Sys.argv.(2) with "info" -> Some Logs.Info | _ -> Some Logs.Error);
  let number = ref 0 in
  let numbers = Hashtbl.create 64 in
  let headers = Cohttp.Header.init_with "content-type" "application/json" in
  let number_of conn =
    let key = Cohttp.Connection.to_string conn in
    match Hashtbl.find_opt numbers key with
    | Some found -> found
    | None -> incr number; Hashtbl.add numbers key !number; !number
  in
  let callback (_, conn) _request _body =
    Log.info (fun f -> f "responding to %d" (number_of conn));
    Server.respond_string ~headers ~status:`OK ~body:(time_as_json ()) ()
  in
  let conn_closed (_, conn) = Hashtbl.remove numbers (Cohttp.Connection.to_string conn) in
  Lwt_main.run (Server.create ~mode:(`TCP (`Port port)) (Server.make ~conn_closed ~callback ()))
