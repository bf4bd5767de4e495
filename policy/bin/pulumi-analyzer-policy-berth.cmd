@echo off
if "%BERTH_NODE%"=="" (node "%~dp0..\start.cjs" %*) else ("%BERTH_NODE%" "%~dp0..\start.cjs" %*)
