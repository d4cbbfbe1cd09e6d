// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <array>

#include "cli/run.h"
#include "model/kinds.h"

namespace sallyport::cli {

std::span<const std::string_view> words(Value value) {
    static constexpr std::array<std::string_view, 2> formats{"text", "json"};
    static constexpr std::array<std::string_view, 3> protocols{"tcp", "udp", "icmp"};
    static constexpr std::array<std::string_view, 2> associations{"associate", "disassociate"};
    static constexpr std::array<std::string_view, 5> segments{"syn", "syn-ack", "ack", "rst", "fin"};
    static const std::vector<std::string_view> kind_names = [] {
        std::vector<std::string_view> names;
        names.reserve(model::all_kinds.size());
        for (const model::Kind kind : model::all_kinds) names.push_back(to_string(kind));
        return names;
    }();
    switch (value) {
        case Value::format:
            return formats;
        case Value::protocol:
            return protocols;
        case Value::segment:
            return segments;
        case Value::kind:
            return kind_names;
        case Value::association:
            return associations;
        default:
            return {};
    }
}

std::span<const Option> global_options() {
    static const std::vector<Option> all{
        {"--output", "-o", Value::format, "FORMAT",
         "text (the default) is for people and may change; json is the answer of the agent, unchanged, and a "
         "stable contract"},
        {"--socket", "", Value::socket, "PATH",
         "socket of the agent; else the environment's SALLYPORT_SOCKET, else /run/sallyport/api.sock",
         "SALLYPORT_SOCKET"},
        {"--server", "", Value::server, "URL",
         "the agent's listener on TCP instead of its socket, such as "
         "https://gw1.example.net:8443; http:// only to loopback; else the environment's "
         "SALLYPORT_SERVER",
         "SALLYPORT_SERVER"},
        {"--token-file", "", Value::file, "FILE",
         "file that holds the bearer token for --server, which nobody else may read; else the environment's "
         "SALLYPORT_TOKEN_FILE",
         "SALLYPORT_TOKEN_FILE"},
        {"--ca-file", "", Value::file, "FILE",
         "certificates in PEM of whom to trust with --server instead of the system's; else the environment's "
         "SALLYPORT_CA_FILE",
         "SALLYPORT_CA_FILE"},
        {"--version", "", Value::none, "", "print the version of this program"},
        {"--help", "-h", Value::none, "", "print this help"},
    };
    return all;
}

std::span<const ExitMeaning> exit_codes() {
    static const std::vector<ExitMeaning> all{
        {0, "done"},
        {1, "failed; what was running goes on as it was"},
        {2, "wrong usage (plan: there are changes)"},
        {3, "the agent was not reached"},
        {4, "not permitted"},
        {5, "conflict with what is there"},
    };
    return all;
}

std::span<const Command> commands() {
    static const std::string with_fragments =
        " A file is taken alone, but for the one that the agent was started with: that one comes with the "
        "fragments in the directory sallyport.d beside it.";
    static const std::string plan_description =
        "Compares a configuration file with what the gateway has, and shows each resource "
        "that would be created, updated or deleted, and how many live flows that would cut. "
        "Nothing is changed." +
        with_fragments;
    static const std::string apply_description =
        "Hands a configuration file to the agent and waits until it is applied. A file with "
        "faults changes nothing, nor does one that does not go with what was made with "
        "`create` or through the API, which stays as it is. Applying the same file twice "
        "changes nothing the second "
        "time. With --confirm the agent goes back to the revision before by itself unless "
        "`confirm` comes in time, even if it is started anew meanwhile: for changes that may "
        "cut off whoever makes them. Until then nothing else can be applied." +
        with_fragments;
    static const Argument document{"FILE", Value::file, true, "configuration file, or - for standard input"};
    static const Option fields_file{"--file", "", Value::file, "FILE",
                                    "take the fields from a file in YAML or JSON, or - for standard input; "
                                    "those of the command line win"};
    static const Option prune{"--prune", "", Value::none, "",
                              "delete what was made with `create` or through the API and not by a file"};
    static const Argument kind{"KIND", Value::kind, true, "kind of resource"};
    static const Argument known_name{"NAME", Value::name, true, "name of the resource"};
    static const Argument fields_to_be{"FIELD=VALUE", Value::setting, false, "what it is to be like", true};
    static const Option limit{
        "--limit", "", Value::number, "N",
        "one page of so many, 1 to 10000; what stands at its end leads to the next one"};
    static const Option after{"--after", "", Value::opaque, "CURSOR",
                              "the page that follows the one which ended with this cursor"};
    static const Option min_revision{"--min-revision", "", Value::number, "REVISION",
                                     "fail with exit code 5 where the gateway has not come to this revision"};
    static const Option if_match{
        "--if-match", "", Value::opaque, "TAG",
        "only if it still is as it was when `get --etag` said TAG, else exit code 5"};
    static const Option key{
        "--idempotency-key", "", Value::opaque, "KEY",
        "a word of up to 255 characters of your own for this request: given again with the "
        "same request it does nothing and answers as before, for 24 hours"};
    static const std::vector<Command> all{
        {.name = "status",
         .summary = "what the gateway is doing",
         .description = "Shows whether the gateway is ready, which revision of the configuration is desired "
                        "and which is applied, the devices and how XDP is attached to them, NAT gateways, "
                        "Elastic IPs, and what was dropped and why.",
         .options = {min_revision},
         .run = run_status},
        {.name = "ready",
         .summary = "tell whether the newest revision is in force",
         .description =
             "Ends with exit code 0 if the newest revision is in force on all devices, and says why not "
             "otherwise. With --wait it asks until it is, also an agent that is only being started: for "
             "scripts that go on with a gateway.",
         .options = {{"--wait", "", Value::duration, "D", "wait for that as long as this, such as 30s"}},
         .exits = {{0, "ready"}, {1, "not ready"}},
         .run = run_ready},
        {.name = "check",
         .summary = "check a configuration file; needs no agent",
         .description =
             "Reads a configuration file and shows all its faults at once, each as "
             "FILE:LINE:COLUMN: PATH: what is wrong, what was read and what would be right. "
             "Fragments in the directory sallyport.d beside it are read with it, as the agent "
             "does. Nothing is changed and no agent is asked. With `-o json` the faults are a list, in "
             "which warnings have the severity `warning`; it is empty where there is nothing to "
             "say.",
         .arguments = {document},
         .exits = {{0, "the file is right, though perhaps with warnings"},
                   {1, "the file has faults or cannot be read"}},
         .run = run_check},
        {.name = "plan",
         .summary = "show what applying a configuration file would change",
         .description = plan_description,
         .arguments = {document},
         .options = {prune},
         .exits = {{0, "nothing would change"}, {2, "there are changes, or wrong usage"}},
         .run = run_plan},
        {.name = "apply",
         .summary = "make the gateway what a configuration file says",
         .description = apply_description,
         .arguments = {document},
         .options = {{"--confirm", "", Value::duration, "DURATION",
                      "roll back unless confirmed within this time, 1s to 1d, such as 90s or 5m"},
                     prune,
                     key},
         .run = run_apply},
        {.name = "confirm",
         .summary = "keep the revision that awaits confirmation",
         .description = "Confirms the revision that `apply --confirm` has made: it is not rolled back.",
         .options = {key},
         .run = run_confirm},
        {.name = "rollback",
         .summary = "go back to an earlier revision",
         .description =
             "Applies the configuration of an earlier revision again, as a new revision. Without a "
             "number it is the one before the newest, or the one that would come back if nobody "
             "confirmed. What was made with `create` or through the API is as it was then, too. "
             "`history` lists the revisions.",
         .arguments = {{"REVISION", Value::number, false, "number of a revision"}},
         .options = {key},
         .run = run_rollback},
        {.name = "reload",
         .summary = "let the agent read its own configuration file again",
         .description = "The agent reads the file that it was started with, and the fragments in the "
                        "directory sallyport.d beside it, applies them, and answers when "
                        "that is done. A file with faults changes nothing, and while a revision awaits "
                        "confirmation nothing is read.",
         .options = {key},
         .run = run_reload},
        {.name = "get",
         .summary = "show resources",
         .description =
             "Lists the resources of a kind, or shows one of them with all its fields. With --limit or "
             "--after the list is one page of it, in the order of names; whatever comes or goes "
             "meanwhile, none of the others is missed or shown twice.",
         .arguments = {kind, {"NAME", Value::name, false, "name of one resource"}},
         .options = {limit,
                     after,
                     min_revision,
                     {"--etag", "", Value::none, "",
                      "print the entity tag of the one resource instead, for --if-match of `set`, `replace` "
                      "and `delete`"}},
         .run = run_get},
        {.name = "watch",
         .summary = "show resources again whenever they change",
         .description =
             "Shows the resources of a kind, or without one what `status` does, and again whenever a "
             "revision has changed them, until interrupted; with `-o json`, one object on a line, "
             "with the revision and the answer. With --since what is shown first is what has changed "
             "after that revision, so that a script can go on where it ended.",
         .arguments = {{"KIND", Value::kind, false, "kind of resource"}},
         .options = {{"--since", "", Value::number, "REVISION", "only what is newer than this revision"},
                     {"--count", "", Value::number, "N", "end when shown so many times"}},
         .run = run_watch},
        {.name = "create",
         .summary = "make a resource",
         .description =
             "Makes one resource, and waits until it is in force. Its fields are those of the configuration "
             "file, see sallyport.yaml(5): `create elastic_ips eip-3 address=198.51.100.12`. A VALUE may be "
             "a "
             "list or a map, written as there: `create vpcs lab 'cidrs=[10.1.0.0/16]'`; what stands in "
             "quotes is "
             "text. A field within a map is FIELD.FIELD, as in `timeouts.udp=300s`. What is made so stays "
             "when a "
             "file is applied, and only `delete` or `apply --prune` removes it.",
         .arguments = {kind,
                       {"NAME", Value::new_name, true, "what to call it"},
                       {"FIELD=VALUE", Value::setting, false, "what it is like", true}},
         .options = {fields_file, key},
         .run = run_create},
        {.name = "set",
         .summary = "change fields of a resource that was made with create",
         .description =
             "Changes one resource that was made with `create` or through the API, and waits until that is "
             "in force: `set nat_gateways lab timeouts.udp=120s`. Fields are written as for `create`; those "
             "that are not named stay as they are, within a map too. A list is replaced as a whole. "
             "FIELD=null takes a field back to its default; the text null is written '\"null\"'. Where "
             "all is so already, nothing is changed. What a file declares is changed there.",
         .arguments = {kind, known_name, fields_to_be},
         .options = {fields_file, if_match},
         .run = run_set},
        {.name = "replace",
         .summary = "make a resource, or make it all anew",
         .description =
             "Makes one resource as `create` does, or where there is one of that name, replaces all of it: "
             "fields that are not named go back to their defaults. Where all is so already, nothing is "
             "changed.",
         .arguments = {kind, known_name, fields_to_be},
         .options = {fields_file, if_match},
         .run = run_replace},
        {.name = "delete",
         .summary = "remove a resource that was made with create",
         .description =
             "Removes one resource that was made with `create` or through the API. What others refer "
             "to stays, and they are named. What a file declares is removed there.",
         .arguments = {kind, known_name},
         .options = {if_match},
         .run = run_delete},
        {.name = "eip",
         .summary = "give an Elastic IP to an instance, or take it back",
         .description =
             "`eip associate NAME INSTANCE` makes the Elastic IP that of the instance alone, whosever "
             "it was; `eip disassociate NAME` makes it nobody's. Where it is so already, nothing is "
             "changed. Only for those made with `create` or through the API.",
         .arguments = {{"ACTION", Value::association, true, "what to do"},
                       {"NAME", Value::elastic_ip, true, "name of the Elastic IP"},
                       {"INSTANCE", Value::instance, false, "name of the instance, for associate"}},
         .run = run_eip},
        {.name = "drain",
         .summary = "let an Elastic IP have no new flows",
         .description =
             "From now on the Elastic IP gets no new flows and no new ports, and those that it has go on: "
             "instances use the other Elastic IPs of the NAT gateway, and what comes from outside to open a "
             "flow is dropped. A UDP socket or TCP port that has a mapping on it keeps that as long as it "
             "has "
             "flows. Without --timeout it waits for them however long they last; with it, what is left then "
             "ends, and both ends of a TCP connection get a reset. The Elastic IP stays out of use until "
             "--abort, or until it is deleted. A drain goes on when the agent is started anew, and is part "
             "of "
             "no revision: a rollback does not end it. Again, it sets another timeout, or none.",
         .arguments = {{"EIP", Value::elastic_ip, true, "name of the Elastic IP"}},
         .options = {{"--timeout", "", Value::duration, "D",
                      "end what is left after this time, such as 90s or 5m"},
                     {"--wait", "", Value::none, "", "answer when no flow is left"},
                     {"--status", "", Value::none, "",
                      "only show how many flows are left, and which instances have the most"},
                     {"--abort", "", Value::none, "", "let it have new flows again"},
                     key},
         .run = run_drain},
        {.name = "flows",
         .summary = "show flows that are tracked now",
         .description = "Lists flows: the instance inside, the external address and port that stand for it "
                        "outside, and the remote that it talks to. P is an address, a prefix or "
                        "ADDRESS:PORT. For ICMP the port is the identifier of the query.",
         .options = {{"--inside", "", Value::place, "P", "only flows of this instance or prefix"},
                     {"--external", "", Value::place, "P", "only flows with this external address"},
                     {"--remote", "", Value::place, "P", "only flows to this remote"},
                     {"--protocol", "", Value::protocol, "T", "only flows of tcp, udp or icmp"},
                     {"--limit", "", Value::number, "N", "list at most so many (100)"},
                     {"--count", "", Value::none, "", "print only how many match"},
                     {"--top", "", Value::none, "", "list the instances with the most flows instead"},
                     {"--inner", "", Value::none, "",
                      "those that stay inside a VPC and that security groups have let through; --inside "
                      "means either end"},
                     min_revision},
         .run = run_flows},
        {.name = "who",
         .summary = "show who has, or had, an external address and port",
         .description =
             "Shows the flows that have the external ADDRESS:PORT now and, where the NAT gateway gives "
             "ports out in blocks, the instance that had the port's block: now, or at the time of "
             "`--at`. For ICMP the port is the identifier of the query.",
         .arguments = {{"ADDRESS:PORT", Value::endpoint, true, "external address and port"}},
         .options =
             {{"--protocol", "", Value::protocol, "T", "only flows of tcp, udp or icmp"},
              {"--at", "", Value::time, "TIME",
               "as 2026-01-02T03:04:05Z (RFC 3339), or in seconds since 1970; flows of the past are not "
               "known, port blocks are"}},
         .exits = {{0, "somebody was found"}, {1, "nobody was found, or failed"}},
         .run = run_who},
        {.name = "explain",
         .summary = "show what would happen to a packet, and why",
         .description =
             "Follows a packet through the tables that are in force, without sending it and without changing "
             "anything: its flow, or its subnet, route, gateway, security groups, Elastic IP and port; "
             "whether "
             "it is forwarded, dropped or left to the host, for which reason, and what its sender is told. "
             "The tuple is three words, `tcp 10.0.1.12:40000 203.0.113.10:443`, or one, "
             "`tcp:10.0.1.12:40000-203.0.113.10:443`. Of an ICMP echo the identifier stands with the source, "
             "`icmp 10.0.1.12:7 203.0.113.10`; of its reply, with the destination. A source in a subnet of a "
             "VPC "
             "means a packet from inside, any other one from outside.",
         .arguments = {{"FIVE-TUPLE", Value::tuple, true,
                        "PROTOCOL SOURCE DESTINATION, or PROTOCOL:SOURCE-DESTINATION", false, 3}},
         .options = {{"--vpc", "", Value::vpc, "NAME",
                      "the packet comes from inside this VPC; to be given where subnets of several have the "
                      "source"},
                     {"--flags", "", Value::segment, "FLAGS",
                      "of TCP: syn (unless given), syn-ack, ack, rst or fin"}},
         .exits = {{0, "it was explained, whatever would happen to the packet"}},
         .run = run_explain},
        {.name = "monitor",
         .summary = "show events as they happen, until interrupted",
         .description = "Prints one line for each event; with `-o json`, one object on a line. The events "
                        "there are: packets that are dropped, with the reason. In a flood not every drop is "
                        "reported; the counters of `status` are exact.",
         .options = {{"--drops", "", Value::none, "", "only packets that are dropped"},
                     {"--count", "", Value::number, "N", "end after so many events"}},
         .run = run_monitor},
        {.name = "capture",
         .summary = "record packets as the data plane gets and sends them",
         .description =
             "Other programs do not see what the data plane forwards: this one records it. With -w "
             "the packets are written to FILE, in the form of tcpdump and Wireshark, as they were "
             "received and as they were sent, in order of time; the file cannot say which is which, "
             "so --received, --sent, --dropped and --passed choose. Without -w one line tells of "
             "each packet (with `-o json`, one object without the bytes): the device that received "
             "it, its length, and whether it is seen as received, or afterwards as sent, dropped, or "
             "passed to the host. A packet that was asked for when it was received is also recorded "
             "as sent, whatever addresses it then has. Ends when interrupted, and tells then how "
             "many packets were captured and how many were lost because they came faster than they "
             "were read. There is one capture at a time, and it ends when the program on a device is "
             "replaced. Only through the agent's own socket; costs nothing while it does not run.",
         .options = {{"-w", "", Value::file, "FILE",
                      "write the packets to this file, or - for standard output; a symbolic link is refused"},
                     {"--device", "", Value::device, "NAME", "only packets that this device receives"},
                     {"--host", "", Value::address, "ADDRESS", "only packets from or to this address"},
                     {"--protocol", "", Value::protocol, "T", "only packets of tcp, udp or icmp"},
                     {"--port", "", Value::port, "N", "only packets of TCP or UDP from or to this port"},
                     {"--received", "", Value::none, "", "packets as they were received"},
                     {"--sent", "", Value::none, "", "packets as they were sent"},
                     {"--dropped", "", Value::none, "", "packets that were dropped, as they were then"},
                     {"--passed", "", Value::none, "",
                      "packets that were left to the host's network stack, as they were then"},
                     {"--count", "", Value::number, "N", "end after so many packets"},
                     {"--duration", "", Value::duration, "D", "end after this time, such as 30s or 5m"},
                     {"--snap-length", "", Value::number, "N",
                      "keep so many bytes of each packet, 14 to 1514 (256)"}},
         .run = run_capture},
        {.name = "detach",
         .summary = "take the data plane off all devices",
         .description = "Removes the programs and everything that is pinned: translation ends and all flows "
                        "are lost. The agent goes on, and attaches again with `reload` or `apply`. Stopping "
                        "the agent does not detach.",
         .options = {key},
         .run = run_detach},
        {.name = "doctor",
         .summary = "find settings of the host that stand in the way",
         .description = "Checks kernel, driver, XDP mode, offloads, MTU, forwarding and reverse path "
                        "filtering, each with the command that mends it. Where the agent is not reachable, "
                        "this program examines the host for the devices of the configuration file. Nothing "
                        "is changed.",
         .options = {{"--config", "", Value::file, "FILE",
                      "configuration file to use where the agent is not reachable "
                      "(/etc/sallyport/sallyport.yaml)"}},
         .exits = {{0, "no error was found, though perhaps warnings"}, {1, "an error was found"}},
         .run = run_doctor},
        {.name = "history",
         .summary = "list the revisions of the configuration",
         .description = "Lists the revisions that the agent keeps: when each was made, where it came from "
                        "and how many resources it changed.",
         .options = {limit, after, min_revision},
         .run = run_history},
        {.name = "version",
         .summary = "show the versions of this program and of the agent",
         .description = "Shows the version of this program and, where it can be reached, of the agent. An "
                        "agent that is not reachable is no failure here.",
         .run = run_version},
    };
    return all;
}

}  // namespace sallyport::cli
