package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Calls run inside real processes. Needs root. */
@Timeout(60)
class InjectionTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private final TracerThread tracer = new TracerThread("tracer of a test");

  @AfterEach
  void closeTracer() {
    tracer.close();
  }

  private void traced(Runnable task) {
    tracer.run(task, LIMIT);
  }

  @Test
  void callsRunInTheProcessAndLinksCarryResults() {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("ready", LIMIT);
      traced(
          () -> {
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              var thread = tree.processes().getFirst().anyThread();
              var batch = thread.newBatch();
              var pid = batch.call("getpid", SyscallNumber.GETPID);
              long name = batch.string("/proc/self/status");
              var file = batch.call("open", SyscallNumber.OPENAT, -100, name, 0);
              long room = batch.reserve(64);
              var read = batch.call("read", SyscallNumber.READ, 0, room, 64).link(0, file);
              var close = batch.call("close", SyscallNumber.CLOSE, 0).link(0, file);
              var again = batch.attempt("close again", SyscallNumber.CLOSE, 0).link(0, file);
              thread.run(batch);
              assertThat(pid.result()).isEqualTo(workload.pid());
              assertThat(read.result()).isEqualTo(64);
              assertThat(new String(batch.read(room, 14))).isEqualTo("Name:\tcounter-");
              assertThat(close.result()).isZero();
              assertThat(again.result()).isEqualTo(-Errno.EBADF);
            }
          });
    }
  }

  @Test
  void aFailedCallEndsTheBatchWithASentence() {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("ready", LIMIT);
      traced(
          () -> {
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              var thread = tree.processes().getFirst().anyThread();
              var batch = thread.newBatch();
              batch.call("closing descriptor 999", SyscallNumber.CLOSE, 999);
              var behind = batch.call("getpid", SyscallNumber.GETPID);
              assertThatThrownBy(() -> thread.run(batch))
                  .hasMessageContaining("closing descriptor 999")
                  .hasMessageContaining("process " + workload.pid())
                  .hasMessageContaining("EBADF");
              assertThatThrownBy(behind::result).isInstanceOf(IllegalStateException.class);
            }
          });
    }
  }

  @Test
  void theTracerCanActBetweenTwoCalls() {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("ready", LIMIT);
      traced(
          () -> {
            try (var thread = StoppedThread.stopOne(workload.pid(), LIMIT)) {
              var batch = thread.newBatch();
              var made = batch.call("eventfd2", SyscallNumber.EVENTFD2, 7, 0);
              var link = new String[1];
              batch.meanwhile(
                  "looking at the descriptor",
                  () -> {
                    try {
                      link[0] = Files.readSymbolicLink(Path.of("/proc/" + workload.pid() + "/fd/" + made.result())).toString();
                    } catch (IOException e) {
                      throw new java.io.UncheckedIOException(e);
                    }
                  });
              var close = batch.call("close", SyscallNumber.CLOSE, 0).link(0, made);
              thread.run(batch);
              assertThat(link[0]).isEqualTo("anon_inode:[eventfd]");
              assertThat(close.result()).isZero();
            }
          });
    }
  }

  @Test
  void theProcessIsUnchangedAndComputesOn() throws IOException {
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("counted", LIMIT);
      var maps = Path.of("/proc/" + workload.pid() + "/maps");
      String before = Files.readString(maps);
      byte[] vdsoBefore = vdso(workload.pid());
      traced(
          () -> {
            for (int i = 0; i < 200; i++) {
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                var thread = tree.processes().getFirst().anyThread();
                var registers = thread.registers();
                byte[] xsave = thread.xsave();
                assertThat(thread.call("getpid", SyscallNumber.GETPID)).isEqualTo(workload.pid());
                assertThat(Registers.read(thread.tid())).isEqualTo(registers);
                assertThat(io.gantry.checkpoint.linux.Ptrace.xsave(thread.tid())).isEqualTo(xsave);
              }
            }
          });
      assertThat(Files.readString(maps)).isEqualTo(before);
      assertThat(vdso(workload.pid())).isEqualTo(vdsoBefore);
      int lines = workload.lines().size();
      workload.awaitLine(lines + 2, line -> line.startsWith("counted"), "more", LIMIT);
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("error"));
    }
  }

  private static byte[] vdso(int pid) {
    var mapping = Mapping.of(pid).stream().filter(m -> m.name().equals(Mapping.VDSO)).findFirst().orElseThrow();
    return io.gantry.checkpoint.linux.ProcessVm.read(pid, mapping.start(), (int) (mapping.end() - mapping.start()));
  }

  @Test
  void blockedCallsGoOnAndEndOnTime() {
    try (var workload = Workload.start("waits", "1.5")) {
      workload.awaitLine("ready", LIMIT);
      traced(
          () -> {
            long end = System.nanoTime() + Duration.ofMillis(1200).toNanos();
            int rounds = 0;
            while (System.nanoTime() < end) {
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                for (var thread : tree.processes().getFirst().threads()) {
                  assertThat(thread.call("gettid", SyscallNumber.GETTID)).isEqualTo(thread.tid());
                }
              }
              rounds++;
              java.util.concurrent.locks.LockSupport.parkNanos(50_000_000);
            }
            assertThat(rounds).isGreaterThan(5);
          });
      for (String name : new String[] {"nanosleep", "poll", "select", "epoll_wait", "timed-futex"}) {
        String line = workload.awaitLine(name + " ", LIMIT);
        double milliseconds = Double.parseDouble(line.split(" ")[3]);
        assertThat(milliseconds).as(line).isBetween(1480.0, 1900.0);
      }
      assertThat(workload.awaitLine("nanosleep ", LIMIT)).startsWith("nanosleep 0 0 ");
      assertThat(workload.awaitLine("poll ", LIMIT)).startsWith("poll 0 0 ");
      assertThat(workload.awaitLine("select ", LIMIT)).startsWith("select 0 0 ");
      assertThat(workload.awaitLine("epoll_wait ", LIMIT)).startsWith("epoll_wait 0 0 ");
      assertThat(workload.awaitLine("timed-futex ", LIMIT)).startsWith("timed-futex -1 110 ");
      // Its limit lies in the program's memory, so it begins anew with each stop.
      assertThat(workload.awaitLine("sigtimedwait ", LIMIT)).startsWith("sigtimedwait -1 11 ");
      workload.send("go");
      assertThat(workload.awaitExit(LIMIT)).isZero();
      assertThat(workload.lines()).anyMatch(line -> line.startsWith("read 1 0 "));
      assertThat(workload.lines()).anyMatch(line -> line.startsWith("epoll 1 0 "));
      assertThat(workload.lines()).anyMatch(line -> line.startsWith("futex 0 0 "));
    }
  }

  @Test
  void fiveHundredThreadsStopAndGoOn() {
    try (var workload = Workload.start("threads", "500")) {
      workload.awaitLine("rounds", LIMIT);
      traced(
          () -> {
            for (int i = 0; i < 20; i++) {
              try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
                assertThat(tree.threadCount()).isEqualTo(501);
              }
            }
          });
      int lines = workload.lines().size();
      workload.awaitLine(lines, line -> line.startsWith("rounds"), "more rounds", LIMIT);
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("bad"));
    }
  }

  @Test
  void theSignalFrameAloneBringsTheThreadBack() {
    // What happens when the agent dies just after it has let the thread run: nobody stops it at the end of the batch.
    try (var workload = Workload.start("counter")) {
      workload.awaitLine("counted", LIMIT);
      for (int i = 0; i < 20; i++) {
        var abandoned = new TracerThread("tracer that dies");
        abandoned.run(
            () -> {
              var thread = StoppedThread.stopOne(workload.pid(), LIMIT);
              var batch = thread.newBatch();
              batch.call("getpid", SyscallNumber.GETPID);
              thread.abandon(batch);
            },
            LIMIT);
        abandoned.close();
        int lines = workload.lines().size();
        workload.awaitLine(lines, line -> line.startsWith("counted"), "more", LIMIT);
      }
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("error"));
      assertThat(TaskStatus.read(Integer.toString(workload.pid())).orElseThrow().blocked()).isZero();
    }
  }

  /** One thread waits for what another one does: they must be on their way at the same time. */
  @Test
  void threadsOfARunningProgramAnswerAtTheSameTime() {
    try (var workload = Workload.start("threads", "50")) {
      workload.awaitLine("rounds", LIMIT);
      traced(
          () -> {
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              var process = tree.processes().getFirst();
              var threads = process.threads();
              int lanes = threads.getFirst().lanes();
              assertThat(lanes).isGreaterThan(1);
              int event = (int) threads.getFirst().call("eventfd2", SyscallNumber.EVENTFD2, 0, 0);
              var waiting = threads.get(1).laneBatch(0);
              long room = waiting.reserve(8);
              var read = waiting.call("read", SyscallNumber.READ, event, room, 8);
              var telling = threads.get(2).laneBatch(1);
              telling.call("write", SyscallNumber.WRITE, event, telling.bytes(new byte[] {7, 0, 0, 0, 0, 0, 0, 0}), 8);
              try (var together = new Together(lanes)) {
                together.add(threads.get(1), waiting);
                together.add(threads.get(2), telling);
                together.finish();
              }
              assertThat(read.result()).isEqualTo(8);
              assertThat(waiting.read(room, 1)).containsExactly(7);
              threads.getFirst().call("close", SyscallNumber.CLOSE, event);

              int before = process.runs();
              var answers = new ArrayList<CallBatch.Call>();
              try (var together = new Together(lanes)) {
                for (int i = 0; i < threads.size(); i++) {
                  var batch = threads.get(i).laneBatch(i % lanes);
                  answers.add(batch.call("gettid", SyscallNumber.GETTID));
                  together.add(threads.get(i), batch);
                }
                together.finish();
              }
              assertThat(answers).extracting(call -> (int) call.result()).isEqualTo(threads.stream().map(StoppedThread::nsTid).toList());
              assertThat(process.runs() - before).as("times that calls were run").isEqualTo(threads.size());
              for (var thread : threads) {
                assertThat(Registers.read(thread.tid())).isEqualTo(thread.registers());
              }
            }
          });
      int lines = workload.lines().size();
      workload.awaitLine(lines, line -> line.startsWith("rounds"), "more rounds", LIMIT);
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("bad"));
    }
  }

  @Test
  void whenAThreadsCallFailsTheOthersAreAsTheyWere() {
    try (var workload = Workload.start("threads", "12")) {
      workload.awaitLine("rounds", LIMIT);
      traced(
          () -> {
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              var threads = tree.processes().getFirst().threads();
              int lanes = threads.getFirst().lanes();
              assertThatThrownBy(
                      () -> {
                        try (var together = new Together(lanes)) {
                          for (int i = 0; i < threads.size(); i++) {
                            var batch = threads.get(i).laneBatch(i % lanes);
                            if (i == 5) {
                              batch.call("closing descriptor 999", SyscallNumber.CLOSE, 999);
                            }
                            batch.call("gettid", SyscallNumber.GETTID);
                            together.add(threads.get(i), batch);
                          }
                          together.finish();
                        }
                      })
                  .hasMessageContaining("closing descriptor 999")
                  .hasMessageContaining("EBADF");
              for (var thread : threads) {
                assertThat(Registers.read(thread.tid())).isEqualTo(thread.registers());
                assertThat(thread.call("gettid", SyscallNumber.GETTID)).isEqualTo(thread.nsTid());
              }
            }
          });
      int lines = workload.lines().size();
      workload.awaitLine(lines, line -> line.startsWith("rounds"), "more rounds", LIMIT);
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("bad"));
    }
  }

  @Test
  void theFrameOfEachLaneBringsItsThreadBack() {
    try (var workload = Workload.start("threads", "8")) {
      workload.awaitLine("rounds", LIMIT);
      for (int i = 0; i < 20; i++) {
        var abandoned = new TracerThread("tracer that dies");
        abandoned.run(
            () -> {
              var threads = StoppedTree.stop(workload.pid(), LIMIT).processes().getFirst().threads();
              for (int lane = 0; lane < threads.getFirst().lanes(); lane++) {
                var batch = threads.get(1 + lane).laneBatch(lane);
                batch.call("gettid", SyscallNumber.GETTID);
                threads.get(1 + lane).abandon(batch);
              }
            },
            LIMIT);
        abandoned.close();
        int lines = workload.lines().size();
        workload.awaitLine(lines, line -> line.startsWith("rounds"), "more rounds", LIMIT);
      }
      assertThat(workload.lines()).noneMatch(line -> line.startsWith("bad"));
      for (int tid : io.gantry.checkpoint.linux.Directory.numbers("/proc/" + workload.pid() + "/task")) {
        assertThat(TaskStatus.read(workload.pid() + "/task/" + tid).orElseThrow().blocked()).isZero();
      }
    }
  }

  @Test
  void frameHasTheKernelsOffsets() {
    var out = ByteBuffer.allocate(SignalFrame.XSAVE + 576 + 4).order(ByteOrder.LITTLE_ENDIAN);
    long[] values = new long[27];
    for (int i = 0; i < values.length; i++) {
      values[i] = 1000 + i;
    }
    values[Registers.ORIG_RAX] = -1;
    SignalFrame.put(out, 0x10000, Registers.of(values), 0x55L, new byte[576]);
    // asm/sigcontext.h: r8 first, rip seventeenth; uc_sigmask behind 256 bytes of sigcontext and 48 of header.
    assertThat(out.getLong(48)).isEqualTo(values[Registers.R8]);
    assertThat(out.getLong(48 + 16 * 8)).isEqualTo(values[Registers.RIP]);
    assertThat(out.getLong(304)).isEqualTo(0x55);
    assertThat(out.getLong(48 + 23 * 8)).isEqualTo(0x10000 + SignalFrame.XSAVE);
  }
}
