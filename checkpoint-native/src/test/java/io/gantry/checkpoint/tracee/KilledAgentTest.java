package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.testing.Workload;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The agent is killed in the middle of injections, again and again. Needs root. */
@Timeout(90)
class KilledAgentTest {
  private static final Duration LIMIT = Duration.ofSeconds(20);
  private static final Duration AT_MOST = Duration.ofSeconds(15);
  private static final int KILLS_WANTED = 60;
  private static final int KILLS_NEEDED = 5;

  /** A JVM that has started and waits for the word to begin. */
  private record Agent(Process process, BufferedReader output) {
    static Agent start(List<Integer> pids) throws IOException {
      var java = ProcessHandle.current().info().command().orElseThrow();
      var builder =
          new ProcessBuilder(
              java,
              "--enable-native-access=ALL-UNNAMED",
              "-XX:TieredStopAtLevel=1",
              "-XX:+UseSerialGC",
              "-Xmx64m",
              "-cp",
              System.getProperty("java.class.path"),
              InjectingAgent.class.getName());
      pids.forEach(pid -> builder.command().add(Integer.toString(pid)));
      var process = builder.redirectErrorStream(true).start();
      return new Agent(process, process.inputReader());
    }

    void begin() throws IOException {
      assertThat(output.readLine()).isEqualTo("ready");
      process.getOutputStream().write('\n');
      process.getOutputStream().flush();
      assertThat(output.readLine()).isEqualTo("begun");
    }

    void kill() throws InterruptedException {
      assertThat(process.isAlive()).as("the agent failed by itself").isTrue();
      Signals.kill((int) process.pid(), Signals.SIGKILL);
      assertThat(process.waitFor(LIMIT.toMillis(), TimeUnit.MILLISECONDS)).isTrue();
    }
  }

  @Test
  void programsRunOnCorrectlyWhateverTheInstant() throws Exception {
    try (var counter = Workload.start("counter");
        var threads = Workload.start("threads", "8")) {
      counter.awaitLine("counted", LIMIT);
      threads.awaitLine("rounds", LIMIT);
      var before = List.of(look(counter.pid()), look(threads.pid()));
      var pids = List.of(counter.pid(), threads.pid());
      long end = System.nanoTime() + AT_MOST.toNanos();
      var random = new Random(4);
      int kills = 0;
      var next = Agent.start(pids);
      while (kills < KILLS_WANTED && System.nanoTime() < end) {
        var agent = next;
        next = Agent.start(pids);
        try {
          agent.begin();
          LockSupport.parkNanos(random.nextInt(40_000_000));
          agent.kill();
        } finally {
          agent.process().destroyForcibly();
        }
        kills++;
        int lines = counter.lines().size();
        counter.awaitLine(lines, line -> line.startsWith("counted"), "more after " + kills + " kills", LIMIT);
      }
      next.process().destroyForcibly();
      assertThat(kills).isGreaterThanOrEqualTo(KILLS_NEEDED);
      int lines = threads.lines().size();
      threads.awaitLine(lines, line -> line.startsWith("rounds"), "more rounds", LIMIT);
      assertThat(counter.lines()).noneMatch(line -> line.startsWith("error"));
      assertThat(threads.lines()).noneMatch(line -> line.startsWith("bad"));
      assertThat(List.of(look(counter.pid()), look(threads.pid()))).isEqualTo(before);
      System.out.println("agents killed: " + kills);
    }
  }

  /** What must not change: mappings, descriptors, blocked signals of every thread. */
  private static List<String> look(int pid) throws IOException {
    var masks = new StringBuilder();
    for (int tid : Directory.numbers("/proc/" + pid + "/task")) {
      masks.append(Long.toHexString(TaskStatus.read(pid + "/task/" + tid).orElseThrow().blocked())).append(' ');
    }
    return List.of(
        Files.readString(Path.of("/proc/" + pid + "/maps")),
        java.util.Arrays.toString(Directory.numbers("/proc/" + pid + "/fd")),
        masks.toString());
  }
}
