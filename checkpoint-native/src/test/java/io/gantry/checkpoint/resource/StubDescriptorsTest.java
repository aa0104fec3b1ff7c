package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.testing.StubHost;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.StubTree;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The same in real stubs: traced, in namespaces of their own. Needs root. */
@Timeout(60)
class StubDescriptorsTest {
  private static final Duration LIMIT = Duration.ofSeconds(20);
  private static final int REPETITIONS = 20;

  @RegisterExtension final StubHost box = new StubHost();

  @ParameterizedTest
  @ValueSource(
      strings = {
        "regular", "deleted", "directory", "devices", "pipe", "fifo", "eventfd", "epoll", "timerfd", "memfd", "tcp", "udp",
            "unix",
        "sharing", "many"
      })
  void stubsGetExactlyWhatTheProcessesHad(String kind) {
    try (var move = Move.begin(kind, box.directory())) {
      if (kind.equals("deleted")) {
        move.source().send("go on");
        move.awaitQuiet();
      }
      var captured = move.capture();
      var contents = new ArrayList<file_data_entry>();
      new FileContentSender(box.directory().resolve("console.log")).last(captured.deletedFiles(), contents::add);
      move.endSource();
      box.tracer().run(() -> recreate(kind, captured, contents), LIMIT);
    }
  }

  private void recreate(String kind, DescriptorCapture.Captured captured, ArrayList<file_data_entry> contents) {
    var host = box.directory().resolve("host");
    try {
      Files.createDirectories(host);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    try (var tree = StubTree.begin("box", box.cgroup().path(), host);
        var received = new FileContentReceiver(host.resolve("console.log"), () -> tree.root().pid())) {
      var tasks = new HashMap<Integer, RemoteTask>();
      var processes = new ArrayList<ProcessRef>();
      for (var process : captured.state().getProcessList()) {
        var stub = process.getPid() == 1 ? tree.root() : tree.fork(tree.root(), process.getPid());
        tasks.put(process.getPid(), stub);
        processes.add(new ProcessRef(stub.pid(), process.getPid()));
      }
      contents.forEach(received::accept);
      var times = new long[REPETITIONS];
      for (int i = 0; i < REPETITIONS; i++) {
        long begin = System.nanoTime();
        var arrival = DescriptorArrival.recreate(captured.state(), tasks, received, Map.of());
        arrival.armTimers(tasks);
        times[i] = System.nanoTime() - begin;
      }
      var again = DescriptorCapture.capture(processes);
      assertThat(Canonical.of(again.state())).isEqualTo(Canonical.of(captured.state()));
      Arrays.sort(times);
      int descriptors = captured.state().getProcessList().stream().mapToInt(process -> process.getFdCount()).sum();
      System.out.printf(
          "%s: %d descriptors recreated in %d us, at best %d us%n", kind, descriptors, times[REPETITIONS / 2] / 1000,
              times[0] / 1000);
    }
  }
}
