package io.gantry.node;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.gantry", importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {
  @ArchTest
  static final ArchRule nothingPointsBackToTheNode =
      noClasses().that().resideOutsideOfPackage("io.gantry.node..").should().dependOnClassesThat().resideInAPackage("io.gantry.node..");

  @ArchTest
  static final ArchRule workloadsUseTheJdkOnly =
      noClasses().that().resideInAPackage("io.gantry.node.workload..").should().dependOnClassesThat().resideOutsideOfPackages(
          "io.gantry.node.workload..", "java..");

  @ArchTest
  static final ArchRule theSocketKnowsNoMeaning =
      noClasses().that().resideInAPackage("io.gantry.node.control..").should().dependOnClassesThat().resideInAnyPackage(
          "io.gantry.actors..", "io.gantry.checkpoint..", "io.gantry.transport..", "io.gantry.node.daemon..", "io.gantry.node.cli..");

  @ArchTest
  static final ArchRule kernelCallsStayInTheEngine =
      noClasses().that().resideInAPackage("io.gantry.node..").should().dependOnClassesThat().resideInAPackage("io.gantry.checkpoint.linux..");

  @ArchTest
  static final ArchRule onlyTheCommandKnowsTheSimulation =
      noClasses().that().resideInAPackage("io.gantry.node..").and().resideOutsideOfPackage("io.gantry.node.cli").should()
          .dependOnClassesThat().resideInAPackage("io.gantry.simulation..");

  @ArchTest
  static final ArchRule theSimulationKnowsTheActorsOnly =
      noClasses().that().resideInAPackage("io.gantry.simulation..").should().dependOnClassesThat().resideInAnyPackage(
          "io.gantry.transport..", "io.gantry.checkpoint.*..");
}
