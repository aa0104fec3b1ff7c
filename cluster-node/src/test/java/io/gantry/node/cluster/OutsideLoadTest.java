package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/**
 * Servers with an address of their own move there and back while benchmarks load them from outside: no client sees an error, and the longest that one has waited is
 * printed.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("long")
@Tag("heavy")
class OutsideLoadTest {
  private static final Duration SOON = Duration.ofSeconds(20);
  private static final int TRIES = 4;
  private static final String ADDRESS = "10.9.0.5";
  private static final String NETWORK = "bridge=br0,address=" + ADDRESS + "/24,gateway=10.9.0.1";

  private TestCluster cluster;
  private List<String> atClient = List.of();

  @BeforeAll
  void start() throws IOException {
    cluster = TestCluster.start(TestCluster.Options.nodes(2).inNamespaces().withoutRehearsal());
    atClient = cluster.joinContainers();
  }

  @AfterAll
  void end() {
    if (cluster != null) {
      cluster.close();
    }
  }

  private void run(String name, int port, String... command) {
    cluster.node(0).runInNetwork(name, NETWORK, command);
    String program = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)";
    await(name)
        .atMost(SOON)
        .until(() -> status(List.of("python3", "-c", program, ADDRESS, Integer.toString(port))) == 0);
  }

  private int status(List<String> words) throws IOException, InterruptedException {
    var command = new ArrayList<>(atClient);
    command.addAll(words);
    return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
  }

  private OutsideLoad load(String name, List<String> unwanted, String... words) {
    return new OutsideLoad(atClient, directory(name).resolve("load.output"), unwanted, words);
  }

  private Path directory(String name) {
    try {
      return Files.createDirectories(cluster.directory().resolve(name));
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** There and back. On a loaded host a node may not be heard in time and a move be rolled back, which must not disturb anybody either. */
  private void thereAndBack(String name, Runnable check) {
    for (int from = 0; from < 2; from++) {
      ObjectNode outcome = migrate(name, from);
      for (int i = 1; i < TRIES && outcome.path("outcome").asText().equals("rolled-back"); i++) {
        System.out.println(name + ": " + outcome.path("reason").asText());
        outcome = migrate(name, from);
      }
      assertThat(outcome.path("outcome").asText()).as(outcome + "\n" + cluster.node(0).log() + cluster.node(1).log()).isEqualTo("completed");
      System.out.printf(Locale.ROOT, "%s: pause %.1f ms%n", name, outcome.path("pause_ms").asDouble());
      check.run();
    }
  }

  private ObjectNode migrate(String name, int from) {
    return cluster.node(from).ask(
        ControlClient.request("migrate").put("container", name).put("to", cluster.node(1 - from).name()).put("deadline_ms", 60_000));
  }

  private void report(String name, double longestMs) {
    System.out.printf(Locale.ROOT, "%s: the longest that a client outside has waited: %.0f ms%n", name, longestMs);
    cluster.node(0).ask(ControlClient.request("stop").put("container", name));
  }

  /** The number in the first group; 0 when it is not there, as in a run that was too short. */
  private static double number(String text, String pattern) {
    var found = Pattern.compile(pattern).matcher(text);
    double longest = 0;
    while (found.find()) {
      longest = Math.max(longest, Double.parseDouble(found.group(1)));
    }
    return longest;
  }

  @Test
  void redisUnderRedisBenchmark() throws Exception {
    Path directory = directory("redis");
    run("redis", 6379, "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", directory.toString());
    var load = load("redis", List.of("Error", "error"), "redis-benchmark", "-h", ADDRESS, "-c", "50", "-n", "100000", "-t", "set,get", "--csv");
    thereAndBack("redis", load::assertNoErrors);
    // The last column is the longest latency, in milliseconds.
    report("redis", load.end(said -> number(said, "\"([0-9.]+)\"(?:\\r?\\n|$)")));
  }

  @Test
  void nginxUnderWrk() throws Exception {
    Path directory = directory("nginx");
    Files.writeString(directory.resolve("index.html"), "x".repeat(4096));
    Path configuration =
        Files.writeString(
            directory.resolve("nginx.conf"),
            """
            daemon off; user root root; worker_processes 2; pid %1$s/nginx.pid; error_log stderr warn;
            events { worker_connections 512; }
            http {
              access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 1h;
              client_body_temp_path %1$s/temp; proxy_temp_path %1$s/temp; fastcgi_temp_path %1$s/temp; uwsgi_temp_path %1$s/temp; scgi_temp_path %1$s/temp;
              server { listen 80 backlog=512; root %1$s; }
            }
            """
                .formatted(directory));
    run("nginx", 80, "/usr/sbin/nginx", "-p", directory.toString(), "-c", configuration.toString());
    var unwanted = List.of("Socket errors", "Non-2xx");
    var load = load("nginx", unwanted, "wrk", "--threads", "1", "--connections", "50", "--duration", "4s", URI.create("http://" + ADDRESS + "/").toString());
    thereAndBack("nginx", load::assertNoErrors);
    // Of the line "Latency", the average, the deviation, the longest.
    report("nginx", load.end(said -> Math.max(number(said, "Latency +\\S+ +\\S+ +([0-9.]+)ms"), 1000 * number(said, "Latency +\\S+ +\\S+ +([0-9.]+)s "))));
  }

  @Test
  void postgresUnderPgbench() throws Exception {
    Path directory = directory("postgres");
    String programs;
    try (var versions = Files.list(Path.of("/usr/lib/postgresql"))) {
      programs = versions.map(Path::toString).max(String::compareTo).orElseThrow() + "/bin/";
    }
    Path start =
        Files.writeString(
            directory.resolve("start"),
            """
            set -e
            chown postgres %1$s
            as="setpriv --reuid=postgres --regid=postgres --clear-groups env LC_ALL=C"
            $as %2$sinitdb -D %1$s/data -A trust -U postgres --no-sync
            echo "host all all 0.0.0.0/0 trust" >> %1$s/data/pg_hba.conf
            exec $as %2$spostgres -D %1$s/data -h 0.0.0.0 -k %1$s -c fsync=off -c huge_pages=off -c shared_buffers=32MB -c max_connections=40
            """
                .formatted(directory, programs));
    run("postgres", 5432, "sh", start.toString());
    var who = List.of("-h", ADDRESS, "-U", "postgres", "postgres");
    var make = new ArrayList<>(List.of(programs + "pgbench", "-i", "-q", "-s", "2"));
    make.addAll(who);
    await("the database").atMost(SOON).until(() -> status(make) == 0);
    Path log = directory("postgres-log").resolve("transactions");
    var words = new ArrayList<>(List.of(programs + "pgbench", "-n", "-c", "8", "-T", "4", "--log", "--log-prefix=" + log));
    words.addAll(who);
    var load = load("postgres-log", List.of("ERROR", "FATAL", "aborted", "error:"), words.toArray(String[]::new));
    thereAndBack("postgres", load::assertNoErrors);
    load.end(said -> 0);
    double longestUs = 0;
    try (var files = Files.list(log.getParent())) {
      for (Path file : files.filter(file -> file.getFileName().toString().startsWith("transactions")).toList()) {
        try (var lines = Files.lines(file)) {
          // Client, transaction, microseconds.
          longestUs = Math.max(longestUs, lines.mapToDouble(line -> Double.parseDouble(line.split(" ")[2])).max().orElse(0));
        }
      }
    }
    assertThat(longestUs).isPositive();
    report("postgres", longestUs / 1000);
  }

  @Test
  void aThousandConnectionsAtOnce() throws Exception {
    Path ready = directory("thousand").resolve("ready");
    String program = StreamingClient.WORKLOADS.resolve("echo.py").toString();
    var words = new ArrayList<>(Arrays.asList("sh", "-c", "ulimit -n 4096; exec python3 \"$0\" \"$1\"", program, ready.toString()));
    run("thousand", 7000, words.toArray(String[]::new));
    long resets = StreamingClient.tcpCount(atClient, "EstabResets");
    try (var client = new StreamingClient(cluster.directory(), atClient, "thousand", ADDRESS, 1000, 512)) {
      client.awaitMore(2048);
      thereAndBack("thousand", () -> client.awaitMore(2048));
      report("thousand", client.end().path("longest_ms").asDouble());
    }
    assertThat(StreamingClient.tcpCount(atClient, "EstabResets")).as("connections that were reset").isEqualTo(resets);
  }
}
