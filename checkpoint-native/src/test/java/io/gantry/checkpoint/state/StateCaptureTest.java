package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.StoppedTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Captured state against what a program knows about itself. Needs root. */
@Timeout(60)
class StateCaptureTest {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private final TracerThread tracer = new TracerThread("tracer of a test");

  @AfterEach
  void closeTracer() {
    tracer.close();
  }

  private final_state capture(Workload workload) {
    return tracer.call(
        () -> {
          long now = System.nanoTime();
          try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
            return StateCapture.capture(tree, now).build();
          }
        },
        LIMIT);
  }

  private void withState(Consumer<process_state> assertions, String... arguments) {
    try (var workload = Workload.start("state", arguments)) {
      workload.awaitLine("ready", LIMIT);
      assertions.accept(capture(workload).getProcesses(0));
      assertThat(workload.alive()).isTrue();
    }
  }

  /** Each time costs two changes of context while the container stands still. */
  @Test
  void eachThreadIsAskedOnce() {
    try (var workload = Workload.start("threads", "40")) {
      workload.awaitLine("rounds", LIMIT);
      tracer.run(
          () -> {
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              var breaks = new HashMap<Integer, Long>();
              var state = StateCapture.capture(tree, System.nanoTime(), breaks);
              assertThat(state.getProcesses(0).getThreadsCount()).isEqualTo(41);
              // The first process is asked for the host's name as well.
              assertThat(tree.processes().getFirst().runs()).as("times that calls were run").isEqualTo(41 + 1);
              long end = tree.processes().getFirst().anyThread().call("brk", SyscallNumber.BRK, 0);
              assertThat(breaks).containsExactly(Map.entry(workload.pid(), end));
            }
          },
          LIMIT);
    }
  }

  /** What can be looked at while it runs is no part of the pause. */
  @Test
  void aStopBeginsWithTheFirstRequestToStop() {
    try (var workload = Workload.start("waits", "100")) {
      workload.awaitLine("ready", LIMIT);
      tracer.run(
          () -> {
            long before = System.nanoTime();
            try (var tree = StoppedTree.stop(workload.pid(), LIMIT)) {
              // In between every thread was looked at, which takes some calls of the system.
              assertThat(tree.firstStopNs()).isBetween(before + 10_000, System.nanoTime());
            }
          },
          LIMIT);
    }
  }

  private static int intAt(com.google.protobuf.ByteString bytes, int at) {
    return ByteBuffer.wrap(bytes.toByteArray()).order(ByteOrder.LITTLE_ENDIAN).getInt(at);
  }

  @Test
  void processIsCapturedAsItSetItself() {
    withState(
        process -> {
          var core = process.getThreads(0).getTc();
          var thread = process.getThreads(0).getThreadCore();
          assertThat(process.getFs().getCwdPath()).isEqualTo("/usr");
          assertThat(process.getFs().getUmask()).isEqualTo(0137);
          assertThat(core.getComm()).isEqualTo("odd (name) 1");
          assertThat(core.getRlimits().getRlimits(7).getCur()).isEqualTo(77);
          assertThat(core.getRlimits().getRlimits(7).getMax()).isEqualTo(777);
          assertThat(core.getSigactionsCount()).isEqualTo(62);
          // Index 9 is signal 11, as SIGKILL has none: SIGUSR1 is 10, index 8; SIGPIPE 13, index 11.
          assertThat(core.getSigactions(11).getSigaction()).isEqualTo(1);
          assertThat(core.getSigactions(8).getMask()).isEqualTo(1L << 13);
          assertThat(core.getSigactions(8).getFlags() & 0x1800_0000L).isEqualTo(0x1800_0000L);
          assertThat(core.getChildSubreaper()).isTrue();
          assertThat(core.getOomScoreAdj()).isEqualTo(321);
          assertThat(core.getCoredumpFilter()).isEqualTo(0x13);
          assertThat(core.getMembarrierRegistrationMask() & 1 << 4).isNotZero();
          assertThat(core.getDumpable()).isEqualTo(1);
          assertThat(core.getTimers().getReal().getVsec()).isBetween(3590L, 3600L);
          assertThat(core.getTimers().getPosixList()).extracting(timer -> timer.getItId()).containsExactly(0, 2, 3);
          assertThat(core.getTimers().getPosix(2).getSivalPtr()).isEqualTo(0x1003);
          assertThat(core.getTimers().getPosix(2).getIsec()).isEqualTo(7);
          assertThat(core.getTimers().getPosix(2).getVsec()).isBetween(1790L, 1803L);
          assertThat(core.getSignalsS().getSignalsList())
              .extracting(entry -> intAt(entry.getSiginfo(), 0))
              .containsExactly(40, 40, 40, 10);
          assertThat(core.getSignalsS().getSignalsList().subList(0, 3))
              .extracting(entry -> intAt(entry.getSiginfo(), 24))
              .containsExactly(1000, 1001, 1002);
          assertThat(thread.getBlkSigset()).isEqualTo(1L << 9 | 1L << 13 | 1L << 39 | 1L << 59);
          assertThat(thread.getSas().getSsSize()).isEqualTo(65536);
          assertThat(thread.getPdeathSig()).isEqualTo(15);
          assertThat(thread.getTimerSlackNs()).isEqualTo(123456);
          assertThat(thread.getSchedPolicy()).isEqualTo(3);
          assertThat(thread.getIoPriority()).isEqualTo(2 << 13 | 6);
          assertThat(thread.getAffinity().byteAt(0)).isEqualTo((byte) 1);
          assertThat(thread.getFutexRla()).isNotZero();
          assertThat(thread.getRseqEntry().getRseqAbiPointer()).isNotZero();
          assertThat(process.getThreads(0).getThreadInfo().getClearTidAddr()).isNotZero();
        },
        "full");
  }

  @Test
  void credentialsAreCaptured() {
    withState(
        process -> {
          var creds = process.getThreads(0).getThreadCore().getCreds();
          assertThat(List.of(creds.getUid(), creds.getEuid(), creds.getSuid(), creds.getFsuid()))
              .containsExactly(211, 212, 213, 212);
          assertThat(List.of(creds.getGid(), creds.getEgid(), creds.getSgid(), creds.getFsgid()))
              .containsExactly(111, 112, 113, 112);
          assertThat(creds.getGroupsList()).containsExactly(10, 20, 30000);
          assertThat(creds.getSecbits()).isEqualTo(1 << 4);
          assertThat(creds.getCapEff(0)).isEqualTo(1 << 13 | 1 | 1 << 23);
          assertThat(creds.getCapPrm(0)).isEqualTo(1 << 13 | 1 | 1 << 23 | 1 << 5);
          assertThat(creds.getCapInh(0)).isEqualTo(1 | 1 << 5);
          assertThat(creds.getCapAmb(0)).isEqualTo(1);
          assertThat(creds.getCapBnd(0) >>> 25 & 1).isZero();
          assertThat(creds.getNoNewPrivs()).isEqualTo(1);
        },
        "full");
  }

  @Test
  void threadsHaveTheirOwnNamesMasksSignalsAndVectors() {
    withState(
        process -> {
          assertThat(process.getThreadsCount()).isEqualTo(41);
          for (int i = 1; i <= 40; i++) {
            var thread = process.getThreads(i);
            int index = i - 1;
            assertThat(thread.getThreadCore().getComm()).isEqualTo("worker " + index);
            assertThat(thread.getThreadCore().getTimerSlackNs()).isEqualTo(70_000 + index);
            assertThat(thread.getThreadCore().getSchedNice()).isEqualTo(index % 5);
            assertThat(thread.getThreadCore().getBlkSigset()).isEqualTo(1L << 33 + index % 20 | 1L << 11 | 1L << 9 | 1L << 13 | 1L << 39 | 1L << 59);
            assertThat(intAt(thread.getThreadCore().getSignalsP().getSignals(0).getSiginfo(), 24)).isEqualTo(index);
            var full = XsaveArea.expanded(thread.getThreadInfo().getFpregs());
            int seed = index + 1;
            assertThat(full.getXmmSpace(0) & 0xff).isEqualTo(seed * 31 & 0xff);
            assertThat(full.getXsave().getYmmhSpace(0) & 0xff).isEqualTo(seed * 31 + 16 & 0xff);
          }
        },
        "full",
        "40");
  }

  @Test
  void captureOfAnUntouchedProgramIsAlwaysTheSame() {
    try (var workload = Workload.start("state", "full", "5")) {
      Pausing.await(workload, LIMIT);
      assertThat(StateDigest.canonical(capture(workload))).isEqualTo(StateDigest.canonical(capture(workload)));
    }
  }
}
