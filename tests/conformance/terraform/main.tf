# A service in a VPC of its own: what test_terraform_runs.py applies, changes and destroys. `balanced`: behind a load
# balancer (balancer.tf) and in a cluster of its own, for which the provider waits more than a minute whatever the region
# does. Without: in a cluster that is there.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {}

variable "image" { type = string }
variable "desired" { type = number }
variable "balanced" { type = bool }

locals {
  zones = { a = 0, b = 1 }
  tags  = { team = "shop" }
}

data "aws_availability_zones" "here" { state = "available" }

resource "aws_vpc" "this" {
  cidr_block = "10.40.0.0/16"
  tags       = local.tags
}

resource "aws_internet_gateway" "this" { vpc_id = aws_vpc.this.id }

resource "aws_subnet" "public" {
  for_each          = local.zones
  vpc_id            = aws_vpc.this.id
  cidr_block        = cidrsubnet(aws_vpc.this.cidr_block, 8, each.value)
  availability_zone = data.aws_availability_zones.here.names[each.value]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_security_group" "front" {
  name   = "front"
  vpc_id = aws_vpc.this.id
  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "web" {
  name   = "web"
  vpc_id = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  security_group_id            = aws_security_group.web.id
  referenced_security_group_id = aws_security_group.front.id
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
}

resource "aws_cloudwatch_log_group" "web" {
  name              = "/tf/web"
  retention_in_days = 7
}

resource "aws_iam_role" "execution" {
  name = "tf-execution"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ecs-tasks.amazonaws.com" } }]
  })
}

resource "aws_ecs_task_definition" "web" {
  family                   = "tf-web"
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions = jsonencode([{
    name         = "web"
    image        = var.image
    essential    = true
    portMappings = [{ containerPort = 80 }]
    environment  = [{ name = "STAGE", value = "test" }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.web.name
        "awslogs-region"        = "us-east-1"
        "awslogs-stream-prefix" = "web"
      }
    }
  }])
}

resource "aws_ecs_service" "web" {
  name                              = "web"
  cluster                           = var.balanced ? one(aws_ecs_cluster.this).id : "tf-run"
  task_definition                   = aws_ecs_task_definition.web.arn
  desired_count                     = var.desired
  launch_type                       = "FARGATE"
  health_check_grace_period_seconds = var.balanced ? 30 : null
  propagate_tags                    = "SERVICE"
  wait_for_steady_state             = true
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = [for one in aws_subnet.public : one.id]
    security_groups  = [aws_security_group.web.id]
    assign_public_ip = true
  }
  dynamic "load_balancer" {
    for_each = aws_lb_target_group.web
    content {
      target_group_arn = load_balancer.value.arn
      container_name   = "web"
      container_port   = 80
    }
  }
  tags       = local.tags
  depends_on = [aws_lb_listener_rule.web]
}

output "service" { value = aws_ecs_service.web.id }
