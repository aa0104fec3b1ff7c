package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.CpuLatency;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

/** The request is seen where the kernel shows it: reading the device gives the strictest that holds ({@code kernel/power/qos.c}). */
class WakefulPauseTest {
  private static int latencyUs() throws IOException {
    try (var device = Files.newInputStream(Path.of(CpuLatency.DEVICE))) {
      return ByteBuffer.wrap(device.readNBytes(Integer.BYTES)).order(ByteOrder.nativeOrder()).getInt();
    }
  }

  @Test
  void noProcessorSleepsUntilItIsClosed() throws IOException {
    assertThat(Files.isWritable(Path.of(CpuLatency.DEVICE))).as("the tests need a host that can keep its processors awake").isTrue();
    var pause = WakefulPause.begin();
    assertThat(latencyUs()).isZero();
    pause.close();
    Awaitility.await().atMost(Duration.ofSeconds(5)).untilAsserted(() -> assertThat(latencyUs()).as("once no other pause is on this host").isPositive());
  }

  @Test
  void aPauseThatDoesNotEndIsNotWaitedFor() {
    WakefulPause.begin();
    Awaitility.await().atMost(Duration.ofSeconds(10)).untilAsserted(() -> assertThat(latencyUs()).isPositive());
  }
}
