// SPDX-License-Identifier: Apache-2.0
//
// The whole API over a real Unix socket, in front of a gateway in memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/http_server.h"
#include "api/listener.h"
#include "api/router.h"
#include "api/routes.h"
#include "doctor/memory_host.h"
#include "unit/api/http_client.h"
#include "unit/api/one_thread.h"
#include "unit/api/services_in_memory.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::api {
namespace {

using nlohmann::json;

class ApiTest : public testing::Test {
  protected:
    void SetUp() override {
        here_.write_config(configuration());
        ASSERT_TRUE(here_.start());
        loop_ = std::move(*EventLoop::make());
        watch_ = std::make_unique<RevisionWatch>(*loop_, 3);
        router_ = std::make_unique<Router>(
            routes(), admit_peers(std::nullopt),
            [this] { return std::to_string(here_.gateway->view()->desired_revision); }, one_thread_.lanes);
        here_.gateway->follow_revisions([this] { loop_->post([this] { watch_->look(); }); });
        const std::string path = here_.folder / "api.sock";
        auto server = HttpServer::start(*loop_, std::move(*listen_unix(path, std::nullopt)), *router_);
        ASSERT_TRUE(server);
        server_ = std::move(*server);
        client_ = std::make_unique<HttpClient>(*loop_, path);
    }

    std::vector<Route> routes() { return api_routes(services_of(here_, host_, *watch_, *loop_)); }
    json get(const std::string& target, long status = 200) {
        const Answer answer = client_->get(target);
        EXPECT_EQ(answer.status, status) << answer.body;
        return json::parse(answer.body, nullptr, false);
    }
    json post(const std::string& target, const json& body, long status = 200) {
        const Answer answer = client_->post(target, body.dump());
        EXPECT_EQ(answer.status, status) << answer.body;
        return json::parse(answer.body, nullptr, false);
    }
    Answer send(const std::string& method, const std::string& target, const std::string& body = "",
                std::vector<std::string> headers = {}) {
        if (!body.empty()) headers.emplace_back("Content-Type: application/json");
        return client_->request({target, method, body, !body.empty(), std::move(headers)});
    }
    void add_flow(Protocol protocol, std::uint8_t host, std::uint16_t port, std::uint64_t bytes) {
        dataplane::FlowRecord flow;
        flow.protocol = protocol;
        flow.zone = here_.kernel->tables.subnets.begin()->first.zone == 0
                        ? std::uint16_t{0}
                        : static_cast<std::uint16_t>(here_.kernel->tables.subnets.begin()->first.zone);
        flow.nat_gateway = here_.kernel->tables.nat_gateways.begin()->first;
        flow.inside = {Ipv4Address(10, 0, 1, host), port};
        flow.external = {Ipv4Address(198, 51, 100, 10), static_cast<std::uint16_t>(port + 1)};
        flow.remote = {Ipv4Address(203, 0, 113, 10), 443};
        flow.state = "established";
        flow.timeout_seconds = 7440;
        flow.packets_out = 3;
        flow.bytes_out = bytes;
        here_.kernel->flows.push_back(flow);
    }

    GatewayInMemory here_;
    doctor::MemoryHost host_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<RevisionWatch> watch_;
    OneThread one_thread_;
    std::unique_ptr<Router> router_;
    std::unique_ptr<HttpServer> server_;
    std::unique_ptr<HttpClient> client_;
};

TEST_F(ApiTest, HealthReadinessAndVersion) {
    EXPECT_EQ(client_->get("/healthz").status, 200);
    EXPECT_EQ(client_->get("/readyz").status, 200);
    EXPECT_TRUE(get("/v1/version")["version"].is_string());
}

TEST_F(ApiTest, StatusTellsEverything) {
    add_flow(Protocol::tcp, 5, 40000, 100);
    here_.kernel->counters.drops.assign(64, 0);
    here_.kernel->counters.drops[15] = 5;
    const json status = get("/v1/status");
    EXPECT_EQ(status["gateway"], "gw1");
    EXPECT_EQ(status["ready"], true) << status;
    EXPECT_EQ(status["desired_revision"], 1);
    EXPECT_EQ(status["why_not_ready"], nullptr);
    EXPECT_EQ(status["error"], nullptr);
    EXPECT_EQ(status["devices"].size(), 2u);
    EXPECT_EQ(status["devices"][0]["attached"], true);
    EXPECT_EQ(status["devices"][0]["mode"], "native");
    EXPECT_EQ(status["nat_gateways"][0]["active_flows"]["tcp"], 1);
    EXPECT_EQ(status["elastic_ips"][0]["ports_in_use"]["tcp"], 1);
    EXPECT_EQ(status["elastic_ips"][0]["nat_gateway"], "egress");
    EXPECT_EQ(status["elastic_ips"][1]["nat_gateway"], "");
    EXPECT_EQ(status["drops"], json::parse(R"([{"reason":"unsolicited","count":5,
        "text":"a packet to an Elastic IP belongs to no flow"}])"));
    EXPECT_EQ(status["flows"]["capacity"], 65536);
}

TEST_F(ApiTest, FlowsAreFilteredCountedAndRanked) {
    add_flow(Protocol::tcp, 5, 40000, 100);
    add_flow(Protocol::tcp, 5, 40001, 100);
    add_flow(Protocol::udp, 6, 40000, 900);
    const json all = get("/v1/flows");
    EXPECT_EQ(all["total"], 3);
    const json& flow = all["flows"][0];
    EXPECT_EQ(flow["vpc"], "main");
    EXPECT_EQ(flow["nat_gateway"], "egress");
    EXPECT_EQ(flow["elastic_ip"], "eip-1");
    EXPECT_EQ(flow["inside"], "10.0.1.5:40000");
    EXPECT_EQ(flow["remote"], "203.0.113.10:443");
    EXPECT_EQ(get("/v1/flows?protocol=udp")["total"], 1);
    EXPECT_EQ(get("/v1/flows?inside=10.0.1.5:40001")["total"], 1);
    EXPECT_EQ(get("/v1/flows?inside=10.0.1.4/31")["total"], 2);
    EXPECT_EQ(get("/v1/flows?external=198.51.100.11")["total"], 0);
    EXPECT_EQ(get("/v1/flows?count=true&remote=203.0.113.0/24")["count"], 3);
    EXPECT_EQ(get("/v1/flows?limit=2")["flows"].size(), 2u);
    EXPECT_EQ(get("/v1/flows?limit=2")["total"], 3);
    const json top = get("/v1/flows?top=true");
    EXPECT_EQ(top["top"][0]["inside"], "10.0.1.5");
    EXPECT_EQ(top["top"][0]["flows"], 2);
    EXPECT_EQ(top["top"][1]["bytes"], 900);
    for (const char* wrong :
         {"protocol=sctp", "inside=10.0.1.256", "inside=10.0.1.1/24", "limit=-1", "limit=x", "count=1",
          "remote=1.2.3.4:70000", "count=true&top=true", "colour=red"}) {
        EXPECT_EQ(get(std::string("/v1/flows?") + wrong, 400)["status"], 400) << wrong;
    }
}

TEST_F(ApiTest, WhoHasAndHadAnExternalEndpoint) {
    here_.clock.advance(std::chrono::seconds{1'800'000'000});
    dataplane::PortBlockEvent event;
    event.block.elastic_ip = Ipv4Address(198, 51, 100, 10);
    event.block.ports = {40'000, 40'511};
    event.block.zone = static_cast<std::uint16_t>(here_.kernel->tables.subnets.begin()->first.zone);
    event.block.nat_gateway = here_.kernel->tables.nat_gateways.begin()->first;
    const auto happened = [&](std::uint8_t host, int second, dataplane::PortBlockEvent::Happening happening) {
        event.block.instance = Ipv4Address(10, 0, 1, host);
        event.time_ns = (1'700'000'000ULL + static_cast<unsigned>(second)) * 1'000'000'000ULL + 500'000'000;
        event.happening = happening;
        here_.kernel->port_block_events.push_back(event);
    };
    using Happening = dataplane::PortBlockEvent::Happening;
    happened(4, 0, Happening::allocated);
    happened(4, 100, Happening::released);
    happened(5, 200, Happening::allocated);
    here_.port_blocks->poll();
    add_flow(Protocol::tcp, 5, 40000, 100);
    add_flow(Protocol::udp, 5, 40000, 100);
    add_flow(Protocol::tcp, 5, 40001, 100);

    const json now = get("/v1/who?address=198.51.100.10&port=40001");
    ASSERT_EQ(now["flows"].size(), 2u) << now;
    EXPECT_EQ(now["flows"][0]["inside"], "10.0.1.5:40000");
    EXPECT_EQ(now["flows"][0], get("/v1/flows?external=198.51.100.10:40001")["flows"][0]);
    EXPECT_EQ(now["port_blocks"], json::parse(R"([{"instance":"10.0.1.5","vpc":"main",
        "nat_gateway":"egress","elastic_ip":"198.51.100.10","first_port":40000,"last_port":40511,
        "from":"2023-11-14T22:16:40.500000Z","until":null}])"));
    const auto ask = [&](const std::string& rest, std::uint16_t port = 40001) {
        return get("/v1/who?address=198.51.100.10&port=" + std::to_string(port) + rest);
    };
    EXPECT_EQ(ask("&protocol=udp")["flows"].size(), 1u);
    EXPECT_EQ(ask("&protocol=icmp")["flows"], json::array());
    EXPECT_EQ(ask("&protocol=icmp")["port_blocks"].size(), 1u) << "a block is of all protocols";
    EXPECT_EQ(ask("", 40512), json::parse(R"({"flows":[],"port_blocks":[]})"));

    const json then = ask("&at=1700000050");
    EXPECT_EQ(then["flows"], json::array());
    EXPECT_EQ(then["port_blocks"][0]["instance"], "10.0.1.4");
    EXPECT_EQ(then["port_blocks"][0]["until"], "2023-11-14T22:15:00.500000Z");
    EXPECT_EQ(ask("&at=2023-11-14T22:14:10Z"), then);
    EXPECT_EQ(ask("&at=2023-11-14T23:14:10%2B01:00"), then);
    EXPECT_EQ(ask("&at=1700000000")["port_blocks"].size(), 1u) << "it was allocated within this second";
    EXPECT_EQ(ask("&at=2023-11-14T22:13:20.400Z")["port_blocks"].size(), 0u);
    EXPECT_EQ(ask("&at=1700000150")["port_blocks"].size(), 0u);
    EXPECT_EQ(ask("&at=1800000000")["flows"].size(), 2u) << "now";
    EXPECT_EQ(ask("&at=1900000000")["port_blocks"].size(), 1u);

    for (const char* wrong :
         {"", "?address=198.51.100.10", "?port=40001", "?address=198.51.100.10&port=65536",
          "?address=198.51.100&port=1", "?address=198.51.100.10&port=x", "?address=198.51.100.10:1&port=1",
          "?address=198.51.100.10&port=1&protocol=sctp", "?address=198.51.100.10&port=1&at=yesterday",
          "?address=198.51.100.10&port=1&limit=1"}) {
        EXPECT_EQ(get(std::string("/v1/who") + wrong, 400)["status"], 400) << wrong;
    }
}

TEST_F(ApiTest, APacketIsExplained) {
    const auto ask = [this](const std::string& rest) {
        return get("/v1/explain?protocol=tcp&source=10.0.1.5:40000&destination=203.0.113.10:443" + rest);
    };
    const json nowhere = ask("");
    EXPECT_EQ(nowhere["reason"], "no_kernel_route") << "the host knows no way";
    EXPECT_EQ(nowhere["told"], "icmp 3/0");
    const auto& devices = here_.kernel->tables.devices;
    const auto wan =
        std::ranges::find(devices, "wan0", [](const auto& device) { return device.second.name; });
    ASSERT_NE(wan, devices.end());
    here_.kernel->ways[Ipv4Address(203, 0, 113, 10)] = {
        0, {}, static_cast<std::uint8_t>(wan->first), Ipv4Address(198, 51, 100, 1), true, false};
    const json fresh = ask("");
    EXPECT_EQ(fresh["verdict"], "forward") << fresh;
    EXPECT_EQ(fresh["steps"].back(),
              json::parse(R"({"stage":"next_hop","name":"wan0","text":"the router 198.51.100.1"})"));
    EXPECT_EQ(fresh["flags"], "syn");
    EXPECT_EQ(fresh["from"], "inside");
    EXPECT_EQ(fresh["vpc"], "main");
    EXPECT_EQ(fresh["translation"],
              json::parse(R"({"source":"198.51.100.10","destination":"203.0.113.10:443"})"));
    EXPECT_EQ(fresh["steps"][0],
              json::parse(R"({"stage":"device","name":"lan0","text":"from inside, VPC main"})"));
    for (const char* none : {"flow", "reason", "text", "told"}) EXPECT_EQ(fresh[none], nullptr) << none;
    EXPECT_EQ(ask("&vpc=main&flags=syn"), fresh);

    const json dropped = ask("&flags=ack");
    EXPECT_EQ(dropped["verdict"], "drop");
    EXPECT_EQ(dropped["reason"], "tcp_without_flow");
    EXPECT_EQ(dropped["text"], "an instance sent a TCP segment that belongs to no flow and opens none");
    EXPECT_EQ(dropped["told"], "tcp reset");
    EXPECT_EQ(dropped["translation"], nullptr);

    add_flow(Protocol::tcp, 5, 40000, 100);
    here_.kernel->flows.back().generation = here_.kernel->flows.back().generation_in =
        here_.kernel->generation;
    const json standing = ask("&flags=ack");
    EXPECT_EQ(standing["translation"]["source"], "198.51.100.10:40001");
    EXPECT_EQ(standing["flow"], get("/v1/flows")["flows"][0]);

    const json ping = get("/v1/explain?protocol=icmp&source=10.0.1.5:7&destination=203.0.113.10");
    EXPECT_EQ(ping["flags"], nullptr);
    EXPECT_EQ(ping["verdict"], "forward");
    const json outside = get("/v1/explain?protocol=udp&source=203.0.113.10:53&destination=198.51.100.10:99");
    EXPECT_EQ(outside["from"], "outside");
    EXPECT_EQ(outside["reason"], "unsolicited");

    for (const char* wrong :
         {"", "protocol=tcp&source=10.0.1.5:1", "protocol=sctp&source=10.0.1.5:1&destination=10.0.1.6:1",
          "protocol=tcp&source=10.0.1.5&destination=10.0.1.6:1",
          "protocol=tcp&source=10.0.1.5:1&destination=10.0.1.6:70000",
          "protocol=tcp&source=10.0.1.5:1&destination=10.0.1.6:1&flags=urg",
          "protocol=udp&source=10.0.1.5:1&destination=10.0.1.6:1&flags=syn",
          "protocol=icmp&source=10.0.1.5:1&destination=10.0.1.6:1",
          "protocol=tcp&source=10.0.1.5:1&destination=10.0.1.6:1&vpc=third",
          "protocol=tcp&source=10.0.1.5:1&destination=10.0.1.6:1&vpc=",
          "protocol=tcp&source=10.0.1.5:1&destination=10.0.1.6:1&ttl=1"}) {
        EXPECT_EQ(get(std::string("/v1/explain?") + wrong, 400)["status"], 400) << wrong;
    }
}

TEST_F(ApiTest, PlanApplyAndHistory) {
    const json body{{"document", configuration("eip-1, eip-2")}, {"name", "new.yaml"}};
    const json plan = post("/v1/plan", body);
    EXPECT_EQ(plan["changes"], json::parse(R"([{"kind":"nat_gateways","name":"egress","change":"update",
        "fields":["elastic_ips"]}])"));
    EXPECT_EQ(plan["flows_cut"], 0);
    EXPECT_EQ(get("/v1/status")["desired_revision"], 1);
    const json applied = post("/v1/apply", body);
    EXPECT_EQ(applied["revision"], 2);
    EXPECT_EQ(applied["changes"], plan["changes"]);
    EXPECT_EQ(post("/v1/apply", body)["changes"], json::array());
    const json history = get("/v1/history");
    EXPECT_EQ(history["revisions"].size(), 2u);
    EXPECT_EQ(history["revisions"][0]["source"], "apply");
    EXPECT_EQ(client_->get("/v1/status").headers.at("sallyport-revision"), "2");
}

TEST_F(ApiTest, FragmentsComeWithADocument) {
    const json more{
        {"name", "d/10.yaml"},
        {"document", "api_version: sallyport/v1\nvpcs: [ { name: other, cidrs: [10.9.0.0/16] } ]\n"}};
    const json body{{"document", configuration()}, {"name", "new.yaml"}, {"fragments", {more}}};
    EXPECT_EQ(post("/v1/plan", body)["changes"].size(), 1u);
    EXPECT_EQ(post("/v1/apply", body)["revision"], 2);
    const json status = get("/v1/status");
    EXPECT_EQ(status["files"], json::parse(R"(["new.yaml","d/10.yaml"])"));
    EXPECT_EQ(status["configuration"], here_.config_path);
    json wrong = body;
    wrong["fragments"][0]["document"] = "api_version: sallyport/v1\nvpc: []\n";
    EXPECT_EQ(post("/v1/apply", wrong, 400)["faults"][0]["file"], "d/10.yaml");
    for (const char* text : {"{}", "[1]", R"([{"name":"a"}])", R"([{"name":"a","document":1}])",
                             R"([{"name":"a","document":"","more":1}])",
                             R"([{"name":"a","document":""},{"name":"a","document":""}])"}) {
        wrong["fragments"] = json::parse(text);
        post("/v1/plan", wrong, 400);
    }
    const json check = get("/v1/doctor")["checks"][0];
    EXPECT_EQ(check["check"], "configuration");
    EXPECT_EQ(check["severity"], "ok");
    EXPECT_EQ(check["found"], "revision 2 of new.yaml, d/10.yaml");
    here_.write_config(configuration("eip-2"));
    EXPECT_EQ(get("/v1/doctor")["checks"][0]["mend"], "sallyport reload");
}

TEST_F(ApiTest, FaultsOfADocumentHaveTheirPlaces) {
    const json problem = post("/v1/apply", {{"document", configuration("eip-9")}, {"name", "new.yaml"}}, 400);
    ASSERT_EQ(problem["faults"].size(), 1u) << problem;
    EXPECT_EQ(problem["faults"][0]["file"], "new.yaml");
    EXPECT_EQ(problem["faults"][0]["line"], 11);
    EXPECT_EQ(problem["faults"][0]["path"], "nat_gateways[0].elastic_ips[0]");
    EXPECT_EQ(get("/v1/status")["desired_revision"], 1);
}

TEST_F(ApiTest, WrongBodiesAreRefused) {
    for (const char* body : {"", "nonsense", "[]", "{}", R"({"document":1})", R"({"document":"x","extra":1})",
                             "{\"document\":\"\xff\"}", "[[[[[[[[[["}) {
        EXPECT_EQ(client_->post("/v1/apply", body).status, 400) << body;
    }
    EXPECT_EQ(client_->post("/v1/reload", R"({"force":true})").status, 400);
    EXPECT_EQ(
        client_->request({"/v1/apply", "", "document: x", true, {"Content-Type: application/yaml"}}).status,
        415);
    EXPECT_EQ(client_->get("/v1/apply").status, 405);
    EXPECT_EQ(client_->get("/v1/nothing").status, 404);
    EXPECT_EQ(client_->get("/v1/vpcs/nothing").status, 404);
    EXPECT_EQ(get("/v1/status")["desired_revision"], 1);
}

TEST_F(ApiTest, ARevisionMayAwaitConfirmation) {
    const json applied =
        post("/v1/apply", {{"document", configuration("eip-1, eip-2")}, {"confirm_within", "2m"}});
    EXPECT_EQ(applied["confirmation"]["revision"], 2);
    EXPECT_EQ(applied["confirmation"]["fallback"], 1);
    EXPECT_EQ(get("/v1/status")["confirmation"], applied["confirmation"]);
    post("/v1/apply", {{"document", configuration("eip-2")}}, 409);
    post("/v1/reload", json::object(), 409);
    EXPECT_EQ(post("/v1/confirm", json::object()), json({{"revision", 2}}));
    EXPECT_EQ(get("/v1/status")["confirmation"], nullptr);
    post("/v1/confirm", json::object(), 409);
    for (const char* within : {"0s", "25h", "60", "soon"})
        post("/v1/apply", {{"document", configuration()}, {"confirm_within", within}}, 400);
    EXPECT_EQ(client_->post("/v1/plan", R"({"document":"x","confirm_within":"60s"})").status, 400);
}

TEST_F(ApiTest, RollbackTakesARevision) {
    post("/v1/apply", {{"document", configuration("eip-1, eip-2")}});
    EXPECT_EQ(post("/v1/rollback", {{"revision", 1}})["revision"], 3);
    EXPECT_EQ(post("/v1/rollback", json::object())["revision"], 4);
    EXPECT_EQ(get("/v1/nat_gateways/egress")["elastic_ips"], json({"eip-1", "eip-2"}));
    post("/v1/rollback", {{"revision", 9}}, 404);
    for (const char* body : {R"({"revision":"1"})", R"({"revision":-1})", R"({"number":1})", "[]"})
        EXPECT_EQ(client_->post("/v1/rollback", body).status, 400) << body;
}

TEST_F(ApiTest, DetachAndReload) {
    EXPECT_EQ(post("/v1/detach", json::object())["detached"], json({"lan0", "wan0"}));
    EXPECT_EQ(get("/v1/status")["why_not_ready"], "detached by command; reload or apply attaches again");
    EXPECT_EQ(client_->get("/readyz").status, 503);
    EXPECT_EQ(get("/v1/status")["ready"], false);
    EXPECT_EQ(get("/v1/flows")["total"], 0);
    EXPECT_EQ(post("/v1/reload", json::object())["revision"], 1);
    EXPECT_EQ(client_->get("/readyz").status, 200);
}

TEST_F(ApiTest, AKernelThatRefusesIsAServerError) {
    here_.kernel->writes_left = 0;
    const json problem = post("/v1/apply", {{"document", configuration("eip-1, eip-2")}}, 500);
    EXPECT_NE(problem["detail"].get<std::string>().find("revision 2"), std::string::npos) << problem;
    const json status = get("/v1/status");
    EXPECT_EQ(status["desired_revision"], 2);
    EXPECT_EQ(status["applied_revision"], 1);
    EXPECT_TRUE(status["error"].is_string());
}

TEST_F(ApiTest, ObjectsByKindAndName) {
    EXPECT_EQ(get("/v1/vpcs")["vpcs"][0]["name"], "main");
    EXPECT_EQ(get("/v1/elastic_ips/eip-2")["address"], "198.51.100.11");
    EXPECT_EQ(get("/v1/elastic_ips/eip-2")["origin"], "file");
}

TEST_F(ApiTest, DropsAreWaitedFor) {
    EXPECT_EQ(get("/v1/drops?after=0")["events"], json::array());
    CURL* waiting = client_->begin({"/v1/drops?after=0&wait=20", "", "", false, {}});
    for (int i = 0; i < 20; ++i) client_->turn();
    EXPECT_FALSE(client_->done(waiting));
    dataplane::DropEvent event;
    event.reason = "unsolicited";
    event.protocol = 6;
    event.source = {Ipv4Address(203, 0, 113, 9), 1234};
    event.destination = {Ipv4Address(198, 51, 100, 10), 22};
    event.length = 60;
    here_.kernel->drop_events.push_back(event);
    here_.drops->poll();
    client_->finish(waiting);
    const json batch = json::parse(client_->end(waiting).body);
    EXPECT_EQ(batch["next"], 1);
    EXPECT_EQ(batch["events"][0]["source"], "203.0.113.9:1234");
    EXPECT_EQ(batch["events"][0]["protocol"], "tcp");
    EXPECT_EQ(batch["events"][0]["text"], "a packet to an Elastic IP belongs to no flow");
    // The end of the wait is an answer too.
    EXPECT_EQ(get("/v1/drops?after=1&wait=1")["events"], json::array());
    for (const char* wrong : {"after=x", "wait=31", "wait=-1"}) get(std::string("/v1/drops?") + wrong, 400);
}

std::string vpc(const std::string& name) {
    return json{{"name", name}, {"cidrs", {"10.9.0.0/16"}}}.dump();
}

// Follows the header Link from page to page.
std::string next_of(const Answer& answer) {
    const auto link = answer.headers.find("link");
    if (link == answer.headers.end()) return {};
    EXPECT_TRUE(link->second.starts_with("</v1/") && link->second.ends_with(">; rel=\"next\""))
        << link->second;
    return link->second.substr(1, link->second.find('>') - 1);
}

TEST_F(ApiTest, PagesOfObjectsAreStableWhileObjectsComeAndGo) {
    for (const char* name : {"m", "b", "z", "k"}) ASSERT_EQ(client_->post("/v1/vpcs", vpc(name)).status, 201);
    const json whole = get("/v1/vpcs");
    EXPECT_EQ(whole["vpcs"].size(), 5u);
    EXPECT_FALSE(whole.contains("next"));
    EXPECT_EQ(next_of(client_->get("/v1/vpcs")), "");

    std::vector<std::string> seen;
    std::string target = "/v1/vpcs?limit=2&min_revision=1";
    while (!target.empty()) {
        const Answer answer = client_->get(target);
        ASSERT_EQ(answer.status, 200) << target << answer.body;
        const json page = json::parse(answer.body);
        EXPECT_LE(page["vpcs"].size(), 2u);
        for (const json& vpc : page["vpcs"]) seen.push_back(vpc["name"]);
        target = next_of(answer);
        EXPECT_EQ(page["next"].is_null(), target.empty());
        if (page["next"].is_string()) {
            EXPECT_TRUE(target.ends_with("&after=" + page["next"].get<std::string>())) << target;
            EXPECT_NE(target.find("limit=2&min_revision=1"), std::string::npos) << target;
        }
        if (seen.size() == 2) {
            // What the page ended with goes, and one comes in front of it: nothing moves for who reads on.
            EXPECT_EQ(send("DELETE", "/v1/vpcs/k").status, 204);
            EXPECT_EQ(client_->post("/v1/vpcs", vpc("a")).status, 201);
            EXPECT_EQ(client_->post("/v1/vpcs", vpc("n")).status, 201);
        }
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"b", "k", "m", "main", "n", "z"}));
    EXPECT_EQ(get("/v1/vpcs?limit=10000")["vpcs"].size(), 6u);
    EXPECT_EQ(get("/v1/vpcs?limit=6")["next"], nullptr);
    const std::string after = get("/v1/vpcs?limit=1")["next"];
    EXPECT_EQ(get("/v1/vpcs?after=" + after)["vpcs"].size(), 5u) << "the rest";
}

TEST_F(ApiTest, PagesOfTheHistory) {
    for (int i = 0; i < 4; ++i)
        post("/v1/apply", {{"document", configuration(i % 2 == 0 ? "eip-2" : "eip-1")}});
    EXPECT_EQ(get("/v1/history")["revisions"].size(), 5u);
    EXPECT_FALSE(get("/v1/history").contains("next"));
    const Answer first = client_->get("/v1/history?limit=2");
    EXPECT_EQ(json::parse(first.body)["revisions"][0]["revision"], 5);
    post("/v1/apply", {{"document", configuration("eip-2")}});
    const json second = get(next_of(first));
    ASSERT_EQ(second["revisions"].size(), 2u);
    EXPECT_EQ(second["revisions"][0]["revision"], 3);
    const json last = get("/v1/history?limit=2&after=" + second["next"].get<std::string>());
    EXPECT_EQ(last["revisions"].size(), 1u);
    EXPECT_EQ(last["revisions"][0]["revision"], 1);
    EXPECT_EQ(last["next"], nullptr);
}

TEST_F(ApiTest, WrongPagesAreNamed) {
    for (const char* path : {"/v1/vpcs", "/v1/history"}) {
        for (const char* wrong : {"limit=0", "limit=10001", "limit=x", "limit=-1", "limit=", "after=",
                                  "after=x", "after=1", "after=0x61", "after=zz", "min_revision=x"}) {
            const json told = get(std::string(path) + "?" + wrong, 400);
            const std::string name = std::string(wrong).substr(0, std::string(wrong).find('='));
            ASSERT_EQ(told["faults"].size(), 1u) << wrong;
            EXPECT_EQ(told["faults"][0]["parameter"], name);
            EXPECT_EQ(told["faults"][0]["read"], std::string(wrong).substr(name.size() + 1));
        }
    }
    EXPECT_EQ(get("/v1/history?after=78", 400)["faults"][0]["parameter"], "after") << "of another list";
    get("/v1/nonsense?limit=1", 404);
    get("/v1/vpcs/main?limit=1", 400);
}

TEST_F(ApiTest, AChangeIsWaitedFor) {
    const auto ask = [this](const std::string& target) {
        return client_->begin({target, "", "", false, {}});
    };
    const auto turn = [this](int times) {
        for (int i = 0; i < times; ++i) client_->turn();
    };
    CURL* const vpcs = ask("/v1/vpcs?after_revision=1&wait=20");
    CURL* const elastic_ips = ask("/v1/elastic_ips?after_revision=1&wait=20");
    CURL* const status = ask("/v1/status?after_revision=1&wait=20");
    turn(20);
    EXPECT_FALSE(client_->done(vpcs) || client_->done(elastic_ips) || client_->done(status));
    EXPECT_EQ(watch_->waiting(), 3u);

    ASSERT_EQ(client_->post("/v1/elastic_ips", R"({"name": "eip-3", "address": "198.51.100.12"})").status,
              201);
    client_->finish(elastic_ips);
    client_->finish(status);
    const Answer changed = client_->end(elastic_ips);
    EXPECT_EQ(changed.status, 200);
    EXPECT_EQ(changed.headers.at("sallyport-revision"), "2");
    EXPECT_EQ(json::parse(changed.body)["elastic_ips"].size(), 3u);
    EXPECT_EQ(json::parse(client_->end(status).body)["desired_revision"], 2);
    turn(20);
    EXPECT_FALSE(client_->done(vpcs)) << "no VPC has changed";
    EXPECT_EQ(watch_->waiting(), 1u);
    ASSERT_EQ(client_->post("/v1/vpcs", vpc("other")).status, 201);
    client_->finish(vpcs);
    EXPECT_EQ(json::parse(client_->end(vpcs).body)["vpcs"].size(), 2u);
    EXPECT_EQ(watch_->waiting(), 0u);
}

TEST_F(ApiTest, WhatHasChangedAlreadyIsTold) {
    ASSERT_EQ(client_->post("/v1/vpcs", vpc("other")).status, 201);
    get("/v1/vpcs?after_revision=1&wait=20");
    get("/v1/vpcs?after_revision=0");
    get("/v1/vpcs?after_revision=99&wait=20");  // of another history
    for (const char* unchanged : {"/v1/vpcs?after_revision=2", "/v1/elastic_ips?after_revision=1",
                                  "/v1/status?after_revision=2", "/v1/vpcs?after_revision=2&wait=1"}) {
        const Answer answer = client_->get(unchanged);
        EXPECT_EQ(answer.status, 304) << unchanged;
        EXPECT_EQ(answer.body, "");
        EXPECT_EQ(answer.headers.at("sallyport-revision"), "2");
    }
    // A file that takes an object over changes who owns it.
    const std::string with_other =
        configuration() + "instances: [ { name: i, subnet: app, address: 10.0.1.9 } ]\n";
    post("/v1/apply", {{"document", with_other}, {"prune", true}});
    get("/v1/vpcs?after_revision=2");
    get("/v1/instances?after_revision=2");
    EXPECT_EQ(client_->get("/v1/subnets?after_revision=2").status, 304);
    for (const char* wrong : {"after_revision=x", "after_revision=-1", "after_revision=", "wait=5",
                              "after_revision=1&wait=31", "after_revision=1&wait=x"}) {
        get(std::string("/v1/vpcs?") + wrong, 400);
        get(std::string("/v1/status?") + wrong, 400);
    }
    EXPECT_EQ(get("/v1/vpcs?after_revision=1&wait=31", 400)["faults"][0]["parameter"], "wait");
    get("/v1/vpcs?after_revision=1&limit=0&wait=20", 400);
    get("/v1/nonsense?after_revision=1&wait=20", 404);
}

TEST_F(ApiTest, NoMoreWaitThanMay) {
    const ClientRequest waiting{"/v1/vpcs?after_revision=1&wait=20", "", "", false, {}};
    std::vector<CURL*> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(client_->begin(waiting));
    while (watch_->waiting() < 3) client_->turn();
    const Answer refused = client_->request(waiting);
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.headers.at("retry-after"), "30");
    EXPECT_EQ(watch_->refused(), 1u);
    EXPECT_EQ(client_->get("/v1/vpcs?after_revision=1").status, 304) << "who does not wait is answered";
    EXPECT_EQ(client_->get("/v1/vpcs").status, 200);
    ASSERT_EQ(client_->post("/v1/vpcs", vpc("other")).status, 201);
    for (CURL* waiter : waiters) {
        client_->finish(waiter);
        EXPECT_EQ(client_->end(waiter).status, 200);
    }
    EXPECT_EQ(watch_->waiting(), 0u);
}

TEST_F(ApiTest, PacketsAreCapturedForOneClientAtATime) {
    const json begun =
        post("/v1/capture?device=wan0&host=10.0.1.5&protocol=udp&port=53&points=sent,dropped&snap_length=100",
             json::object());
    EXPECT_EQ(begun["snap_length"], 100);
    dataplane::CaptureRequest wanted;
    wanted.device = here_.gateway->view()->names.device_slots.at("wan0");
    wanted.host = Ipv4Address(10, 0, 1, 5);
    wanted.protocol = Protocol::udp;
    wanted.port = 53;
    wanted.points = {dataplane::CapturePoint::sent, dataplane::CapturePoint::dropped};
    wanted.snap_length = 100;
    EXPECT_EQ(here_.dataplane->capturing(), wanted);
    EXPECT_EQ(post("/v1/capture", json::object(), 409)["detail"],
              "another capture is running; there is one at a time");

    const std::string capture = "/v1/capture?capture=" + begun["capture"].dump();
    EXPECT_EQ(get(capture)["packets"], json::array());
    CURL* waiting = client_->begin({capture + "&wait=5", "", "", false, {}});
    for (int i = 0; i < 20; ++i) client_->turn();
    EXPECT_FALSE(client_->done(waiting));
    here_.kernel->captured.push_back({5, *wanted.device, dataplane::CapturePoint::sent, 1400, "foobar"});
    here_.kernel->captured_lost = 7;
    client_->finish(waiting);
    const json batch = json::parse(client_->end(waiting).body);
    EXPECT_EQ(batch["lost"], 7);
    ASSERT_EQ(batch["packets"].size(), 1U);
    EXPECT_EQ(batch["packets"][0], json::parse(R"({"time": "1970-01-01T00:00:00.000000Z", "time_ns": 5,
        "device": "wan0", "point": "sent", "length": 1400, "captured_length": 6, "bytes": "Zm9vYmFy"})"));
    EXPECT_EQ(get(capture + "&wait=1")["packets"], json::array()) << "the end of the wait is an answer too";

    here_.kernel->captured.push_back({9, 0, dataplane::CapturePoint::received, 60, ""});
    const Answer ended = send("DELETE", capture);
    EXPECT_EQ(ended.status, 200);
    EXPECT_EQ(json::parse(ended.body)["packets"].size(), 1U) << "what was left";
    EXPECT_FALSE(here_.dataplane->capturing());
    get(capture, 404);
    EXPECT_EQ(send("DELETE", capture).status, 404);
}

TEST_F(ApiTest, ACaptureThatIsAskedForWronglyIsRefused) {
    for (const char* wrong : {"device=eth7", "host=10.0.1.0/24", "protocol=sctp", "port=0", "port=65536",
                              "port=5&protocol=icmp", "points=", "points=sent,", "points=sent,sent",
                              "points=lost", "snap_length=13", "snap_length=1515", "count=1"}) {
        post(std::string("/v1/capture?") + wrong, json::object(), 400);
    }
    for (const char* wrong : {"", "?capture=x", "?capture=1&wait=6", "?capture=1&wait=x"})
        get(std::string("/v1/capture") + wrong, 400);
    EXPECT_FALSE(here_.dataplane->capturing());
}

TEST_F(ApiTest, PacketsAreNotCapturedOverTheNetwork) {
    Router network(
        routes(), [](const std::optional<Peer>&) { return true; }, [] { return std::string("1"); },
        one_thread_.lanes);
    for (const char* method : {"POST", "GET", "DELETE"}) {
        Request request;
        request.method = method;
        request.path = "/v1/capture";
        request.actor = "token ops";
        unsigned status = 0;
        network.handle(request, [&](const Response& response) { status = response.status; });
        EXPECT_EQ(status, 403U) << method;
    }
    EXPECT_FALSE(here_.dataplane->capturing());
}

TEST_F(ApiTest, DoctorExaminesTheHost) {
    const json checks = get("/v1/doctor")["checks"];
    ASSERT_FALSE(checks.empty());
    for (const char* key : {"check", "subject", "severity", "found", "text", "mend"}) {
        EXPECT_TRUE(checks[0].contains(key)) << key;
    }
}

constexpr const char* eip3 = R"({"name": "eip-3", "address": "198.51.100.12"})";

TEST_F(ApiTest, ObjectsAreMadeReadChangedAndDeleted) {
    const Answer made = client_->post("/v1/elastic_ips", eip3);
    ASSERT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.headers.at("location"), "/v1/elastic_ips/eip-3");
    EXPECT_EQ(made.headers.at("sallyport-revision"), "2");
    EXPECT_EQ(json::parse(made.body)["origin"], "api");
    const Answer read = client_->get(made.headers.at("location"));
    EXPECT_EQ(read.body, made.body);
    EXPECT_EQ(read.headers.at("etag"), made.headers.at("etag"));

    const Answer put = send("PUT", "/v1/elastic_ips/eip-4", R"({"address": "198.51.100.13"})");
    EXPECT_EQ(put.status, 201) << put.body;
    EXPECT_EQ(put.headers.at("location"), "/v1/elastic_ips/eip-4");
    const Answer again = send("PUT", "/v1/elastic_ips/eip-4", put.body);
    EXPECT_EQ(again.status, 200) << "what was read may be written: " << again.body;
    EXPECT_EQ(again.headers.at("sallyport-revision"), "3");
    const Answer patched = send("PATCH", "/v1/elastic_ips/eip-4", R"({"address": "198.51.100.14"})");
    EXPECT_EQ(patched.status, 200);
    EXPECT_EQ(json::parse(patched.body)["address"], "198.51.100.14");
    EXPECT_NE(patched.headers.at("etag"), put.headers.at("etag"));
    const Answer merge = client_->request({"/v1/elastic_ips/eip-4",
                                           "PATCH",
                                           R"({"shared_with_host": null})",
                                           true,
                                           {"Content-Type: application/merge-patch+json"}});
    EXPECT_EQ(merge.status, 200);

    const Answer deleted = send("DELETE", "/v1/elastic_ips/eip-4");
    EXPECT_EQ(deleted.status, 204);
    EXPECT_EQ(deleted.body, "");
    EXPECT_EQ(deleted.headers.at("sallyport-revision"), "5");
    EXPECT_EQ(send("DELETE", "/v1/elastic_ips/eip-4").status, 404);
    EXPECT_EQ(send("PATCH", "/v1/elastic_ips/eip-4", "{}").status, 404);
    const json history = get("/v1/history");
    EXPECT_EQ(history["revisions"][0]["source"], "api");
    EXPECT_TRUE(history["revisions"][0]["actor"].get<std::string>().starts_with("uid "));
}

TEST_F(ApiTest, EveryFaultOfAnObjectHasItsPointer) {
    const json refused =
        post("/v1/nat_gateways",
             {{"name", "second"}, {"vpc", "gone"}, {"timeouts", {{"udp", 5}}}, {"colour", 1}}, 400);
    EXPECT_EQ(refused["detail"], "the NAT gateway is not valid: 4 faults");
    std::vector<std::string> pointers;
    for (const json& fault : refused["faults"]) {
        pointers.push_back(fault["pointer"]);
        EXPECT_FALSE(fault["message"].get<std::string>().empty());
    }
    std::sort(pointers.begin(), pointers.end());
    EXPECT_EQ(pointers, (std::vector<std::string>{"/colour", "/elastic_ips", "/timeouts/udp", "/vpc"}));
    EXPECT_EQ(client_->post("/v1/elastic_ips", "{").status, 400);
    EXPECT_EQ(client_->post("/v1/cars", "{}").status, 404);
    EXPECT_EQ(send("PUT", "/v1/cars/one", "{}").status, 404);
    EXPECT_EQ(send("DELETE", "/v1/vpcs").status, 405);
    EXPECT_EQ(send("DELETE", "/v1/vpcs/main", R"({"a": 1})").status, 400);
    EXPECT_EQ(client_->request({"/v1/vpcs/one", "PUT", "{}", true, {"Content-Type: text/plain"}}).status,
              415);
    EXPECT_EQ(here_.gateway->view()->desired_revision, 1u);
}

TEST_F(ApiTest, ConflictsOfObjectsSayWithWhat) {
    ASSERT_EQ(client_->post("/v1/elastic_ips", eip3).status, 201);
    EXPECT_EQ(client_->post("/v1/elastic_ips", eip3).status, 409);
    EXPECT_EQ(client_->post("/v1/elastic_ips", R"({"name": "eip-1", "address": "1.2.3.4"})").status, 409);
    const Answer of_file = send("DELETE", "/v1/elastic_ips/eip-1");
    EXPECT_EQ(of_file.status, 409);
    EXPECT_NE(of_file.body.find(here_.config_path), std::string::npos);
    ASSERT_EQ(send("PUT", "/v1/nat_gateways/second", R"({"vpc": "main", "elastic_ips": ["eip-3"]})").status,
              201);
    const Answer in_use = send("DELETE", "/v1/elastic_ips/eip-3");
    EXPECT_EQ(in_use.status, 409);
    EXPECT_NE(in_use.body.find(R"(NAT gateway \"second\")"), std::string::npos) << in_use.body;
}

TEST_F(ApiTest, PreconditionsAreHonoured) {
    const Answer made = client_->post("/v1/elastic_ips", eip3);
    const std::string tag = made.headers.at("etag");
    const std::string target = "/v1/elastic_ips/eip-3";
    EXPECT_EQ(send("PATCH", target, R"({"address": "198.51.100.20"})", {"If-Match: \"other\""}).status, 412);
    EXPECT_EQ(send("PATCH", target, R"({"address": "198.51.100.20"})", {"If-Match: W/" + tag}).status, 412);
    EXPECT_EQ(send("PATCH", target, R"({"address": "198.51.100.20"})", {"If-Match: \"x\", " + tag}).status,
              200);
    EXPECT_EQ(send("DELETE", target, "", {"If-Match: " + tag}).status, 412) << "it has changed";
    EXPECT_EQ(send("PUT", target, eip3, {"If-None-Match: *"}).status, 412);
    EXPECT_EQ(send("PUT", "/v1/elastic_ips/new", R"({"address": "198.51.100.21"})", {"If-Match: *"}).status,
              412);
    EXPECT_EQ(
        send("PUT", "/v1/elastic_ips/new", R"({"address": "198.51.100.21"})", {"If-None-Match: *"}).status,
        201);
    EXPECT_EQ(send("DELETE", "/v1/elastic_ips/gone", "", {"If-Match: *"}).status, 404);
    EXPECT_EQ(send("DELETE", target, "", {"If-Match: a", "If-Match: b"}).status, 400);
    const std::string now = client_->get(target).headers.at("etag");
    const Answer unchanged = send("GET", target, "", {"If-None-Match: W/" + now});
    EXPECT_EQ(unchanged.status, 304);
    EXPECT_EQ(unchanged.body, "");
    EXPECT_EQ(unchanged.headers.at("etag"), now);
    EXPECT_EQ(send("GET", target, "", {"If-None-Match: " + tag}).status, 200);
    EXPECT_EQ(send("DELETE", target, "", {"If-Match: *"}).status, 204);
}

TEST_F(ApiTest, RequestWithAKeyIsDoneOnceAndAnsweredAgain) {
    const std::vector<std::string> key{"Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"};
    const Answer first = send("POST", "/v1/elastic_ips", eip3, key);
    ASSERT_EQ(first.status, 201) << first.body;
    EXPECT_FALSE(first.headers.contains("idempotency-replayed"));
    const Answer again = send("POST", "/v1/elastic_ips", eip3, key);
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(again.body, first.body);
    EXPECT_EQ(again.headers.at("idempotency-replayed"), "true");
    EXPECT_EQ(again.headers.at("location"), first.headers.at("location"));
    EXPECT_EQ(again.headers.at("etag"), first.headers.at("etag"));
    EXPECT_EQ(send("POST", "/v1/elastic_ips", R"({"name": "x", "address": "198.51.100.40"})", key).status,
              422);
    EXPECT_EQ(send("POST", "/v1/vpcs", eip3, key).status, 422) << "another path is another request";
    EXPECT_EQ(here_.gateway->view()->desired_revision, 2u);
    for (const std::string& wrong : {std::string(256, 'k'), std::string("two words")}) {
        EXPECT_EQ(send("POST", "/v1/elastic_ips", eip3, {"Idempotency-Key: " + wrong}).status, 400);
    }
}

TEST_F(ApiTest, AWholeDocumentWithAKeyIsAppliedOnce) {
    const std::string two = json{{"document", configuration("eip-2")}, {"confirm_within", "5m"}}.dump();
    const std::vector<std::string> key{"Idempotency-Key: first"};
    const Answer first = send("POST", "/v1/apply", two, key);
    ASSERT_EQ(first.status, 200) << first.body;
    const Answer again = send("POST", "/v1/apply", two, key);
    EXPECT_EQ(json::parse(again.body), json::parse(first.body))
        << "though a revision awaits confirmation by now";
    EXPECT_EQ(again.headers.at("idempotency-replayed"), "true");
    EXPECT_EQ(send("POST", "/v1/rollback", "{}", key).status, 422);
    ASSERT_EQ(send("POST", "/v1/confirm", "{}", {}).status, 200);

    const Answer back = send("POST", "/v1/rollback", "{}", {"Idempotency-Key: back"});
    ASSERT_EQ(back.status, 200) << back.body;
    EXPECT_EQ(send("POST", "/v1/rollback", "{}", {"Idempotency-Key: back"}).body, back.body);
    EXPECT_EQ(here_.gateway->view()->desired_revision, 3u) << "it does not go back and forth";

    // What changed nothing when it was asked for changes nothing later either.
    const std::string one = json{{"document", configuration()}}.dump();
    EXPECT_TRUE(
        json::parse(send("POST", "/v1/apply", one, {"Idempotency-Key: same"}).body)["changes"].empty());
    ASSERT_EQ(send("POST", "/v1/apply", json{{"document", configuration("eip-2")}}.dump(), {}).status, 200);
    EXPECT_EQ(json::parse(send("POST", "/v1/apply", one, {"Idempotency-Key: same"}).body)["revision"], 3);
    EXPECT_EQ(here_.gateway->view()->desired_revision, 4u);

    EXPECT_EQ(send("POST", "/v1/reload", "{}", {"Idempotency-Key: two words"}).status, 400);
    const Answer read = send("POST", "/v1/reload", "{}", {"Idempotency-Key: read"});
    ASSERT_EQ(read.status, 200) << read.body;
    EXPECT_EQ(send("POST", "/v1/reload", "{}", {"Idempotency-Key: read"}).body, read.body);
}

TEST_F(ApiTest, ConfirmDrainAndDetachWithAKeyAreDoneOnce) {
    const auto twice = [&](const std::string& path, const std::string& body) {
        const std::vector<std::string> key{"Idempotency-Key: " + path};
        const Answer first = send("POST", path, body, key);
        EXPECT_EQ(first.status, 200) << first.body;
        EXPECT_FALSE(first.headers.contains("idempotency-replayed")) << path;
        here_.clock.advance(std::chrono::seconds{1});
        const Answer again = send("POST", path, body, key);
        EXPECT_EQ(again.status, 200) << again.body;
        EXPECT_EQ(json::parse(again.body), json::parse(first.body));
        EXPECT_EQ(again.headers.at("idempotency-replayed"), "true") << path;
        return key;
    };
    const json tried{{"document", configuration("eip-2")}, {"confirm_within", "5m"}};
    ASSERT_EQ(send("POST", "/v1/apply", tried.dump(), {}).status, 200);
    const auto confirm = twice("/v1/confirm", "{}");
    EXPECT_EQ(send("POST", "/v1/confirm", "{}", {}).status, 409) << "without the key nothing awaits it";

    twice("/v1/elastic_ips/eip-2/drain", R"({"timeout": "90s"})");
    const json drain = get("/v1/elastic_ips/eip-2/drain");
    ASSERT_EQ(send("POST", "/v1/elastic_ips/eip-2/drain", R"({"timeout": "90s"})", {}).status, 200);
    EXPECT_NE(get("/v1/elastic_ips/eip-2/drain")["deadline"], drain["deadline"])
        << "without the key it is another deadline";

    twice("/v1/detach", "{}");
    EXPECT_EQ(send("POST", "/v1/reload", "{}", confirm).status, 422);
    ASSERT_EQ(send("POST", "/v1/reload", "{}", {}).status, 200);
    EXPECT_EQ(send("POST", "/v1/detach", "{}", {"Idempotency-Key: /v1/detach"}).status, 200);
    EXPECT_FALSE(here_.gateway->view()->detached) << "what was asked for before the reload";
}

TEST_F(ApiTest, ReadersMayAskForARevision) {
    EXPECT_EQ(client_->get("/v1/elastic_ips?min_revision=1").status, 200);
    EXPECT_EQ(client_->get("/v1/elastic_ips/eip-1?min_revision=2").status, 412);
    const json early = get("/v1/status?min_revision=2", 412);
    EXPECT_EQ(early["detail"], "revision 2 was asked for, and 1 is the newest");
    EXPECT_EQ(client_->get("/v1/flows?min_revision=x").status, 400);
    ASSERT_EQ(client_->post("/v1/elastic_ips", eip3).status, 201);
    EXPECT_EQ(client_->get("/v1/elastic_ips/eip-3?min_revision=2").status, 200);
}

TEST_F(ApiTest, FileLeavesObjectsOfTheApiUnlessTheyArePruned) {
    ASSERT_EQ(client_->post("/v1/elastic_ips", eip3).status, 201);
    EXPECT_TRUE(post("/v1/apply", {{"document", configuration()}})["changes"].empty());
    const json planned = post("/v1/plan", {{"document", configuration()}, {"prune", true}});
    ASSERT_EQ(planned["changes"].size(), 1u);
    EXPECT_EQ(planned["changes"][0]["change"], "delete");
    EXPECT_EQ(client_->get("/v1/elastic_ips/eip-3").status, 200);
    post("/v1/apply", {{"document", configuration()}, {"prune", 1}}, 400);
    post("/v1/apply", {{"document", configuration()}, {"prune", true}});
    EXPECT_EQ(client_->get("/v1/elastic_ips/eip-3").status, 404);
}

}  // namespace
}  // namespace sallyport::api
